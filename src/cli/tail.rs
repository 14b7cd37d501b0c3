//! Following a daemon.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use futures_util::StreamExt as _;
use vigy::api::Event;
use vigy::service::Service as _;
use vigy::{Remote, socket};

use super::failure::{Exit, Failure};
use super::print;

pub(crate) async fn tail(store: &Path, vigy: Option<&str>, since: Option<u64>, json: bool, out: &mut impl Write) -> Result<Exit, Failure> {
    let socket = socket::path(store);
    if !socket::is_up(&socket).await {
        let store = store.display();
        return Err(Failure::new(Exit::NoConnection, format_args!("no daemon serves {store}: start one with `vigy serve`")));
    }
    let daemon = Remote::new(&socket)?;
    let mut events = daemon.events(vigy, since).await?;
    // Runs carry ids; people know names.
    let vigies = daemon.list("", None).await?;
    let mut names: HashMap<_, _> = vigies.into_iter().map(|vigy| (vigy.id, vigy.name)).collect();
    anstream::eprintln!("following {}, Ctrl-C ends it", socket.display());
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Done),
        };
        let Some(event) = event else {
            return Err(Failure::new(Exit::NoConnection, "the daemon stopped"));
        };
        let told = event?;
        if let Event::Registered(vigy) = &told.event {
            names.insert(vigy.id.clone(), vigy.name.clone());
        }
        if json {
            writeln!(out, "{}", serde_json::to_string(&told)?)?;
        } else {
            let id = match &told.event {
                Event::Run(run) => &run.vigy_id,
                Event::DeadLettered { vigy_id, .. } | Event::Gone { vigy_id, .. } => vigy_id,
                _ => "",
            };
            print::event(out, &told.event, names.get(id).map_or(id, String::as_str))?;
        }
        out.flush()?;
    }
}
