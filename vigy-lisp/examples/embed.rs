//! An application with a script inside: a thermostat whose rules are a program that its owner can change.
//!
//! `cargo run -p vigy-lisp --example embed` runs the rules below; with a file as argument, those in it.
#![allow(elided_lifetimes_in_paths, reason = "as an application writes them")]

use std::error::Error;

use serde::Deserialize;
use vigy_lisp::{Ctx, Host, Keywords, LoadOptions, Raise};

const RULES: &str = r#"
(define wanted {:kitchen 20.5 :hall 17})

(define (tend room)
  (let [is (sensor/read room)
        should (get wanted room)]
    (when (< is should)
      (heater/set room :watts (min 2000 (* 500 (- should is))) :minutes 10))))

(define (tick)
  (for-each tend (keys wanted))
  (log "a round is done"))
"#;

/// What scripts ask, and somebody answers who may take his time.
enum Request {
    Read { room: String },
}

/// The house as the application knows it.
#[derive(Default)]
struct House {
    heating: Vec<(String, f64, u32)>,
}

/// The keyword arguments of `heater/set`.
#[derive(Deserialize)]
struct Heat {
    watts: f64,
    #[serde(default)]
    minutes: u32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut host: Host<House, Request> = Host::default();
    host.register_fn("log", |message: &str| println!("log: {message}"));
    host.register_ask("sensor/read", |room: String| Request::Read { room }).params(&["room"]).doc("Degrees in a room.");
    host.register_fn("heater/set", |ctx: &mut Ctx<House>, room: &str, Keywords(heat): Keywords<Heat>| {
        if heat.watts > 3_000.0 {
            return Err(Raise::new("too-hot", format_args!("{room}: {} W would melt the fuse", heat.watts)));
        }
        ctx.state.heating.push((room.to_string(), heat.watts, heat.minutes));
        Ok(())
    })
    .params(&["room"])
    .needs("heater")
    .writes()
    .doc("Heats a room, :watts and :minutes.");

    for about in host.functions() {
        println!("{about}  {}", about.function.doc);
    }

    let file = std::env::args().nth(1);
    let source = file.as_ref().map_or_else(|| Ok(RULES.to_string()), std::fs::read_to_string)?;
    let options = LoadOptions { name: file.as_deref().unwrap_or("rules"), grants: &["heater"], ..LoadOptions::default() };
    let mut script = host.load_with(&source, &options, House::default())?;

    // A real application would read its sensors here, and wait for them with `run_async` and `call_async`.
    let mut temperature = 15.0;
    let mut answer = |Request::Read { room }| {
        temperature += 1.5;
        if room == "cellar" { Err(Raise::new("no-sensor", room)) } else { Ok(temperature) }
    };
    script.run_with::<(), _>(&mut answer)?;
    for _ in 0..2 {
        script.call_with::<(), _>("tick", (), &mut answer)?;
    }
    for (room, watts, minutes) in &script.state.heating {
        println!("{room}: {watts} W for {minutes} minutes");
    }
    println!("fuel of the last tick: {}", script.fuel_used());
    Ok(())
}
