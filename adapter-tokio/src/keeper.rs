//! What keeps vigies ticking: it waits for the agenda, and sees every tick through.
//!
//! An idle vigy is a line of the agenda. A tick is a task of the workers, from its start until it has landed.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use vigy_core::{Incarnation, RunKey, Timestamp, VigyId};

use crate::VigyError;
use crate::agenda::{Agenda, Start, Turn};
use crate::runtime::Shared;
use crate::store::{read, take_up};
use crate::sync::{AbortHandle, Mutex, MutexGuard, Notify, sleep, timeout};
use crate::tick::{Ended, tick};
use crate::worker::Workers;

/// The longest sleep in one piece: after it the wall clock is read again, so that a clock that jumped is noticed.
const NAP: Duration = Duration::from_secs(30);

/// How far the wall clock may part from the time that really passed before the schedules are taken up anew: 5 seconds.
const CLOCK_JUMP_MS: u64 = 5000;

/// The longest wait before a tick that the store or the host prevented is tried again: a minute.
const MAX_TROUBLE_MS: u64 = 60_000;

/// Ticks in flight per seat: those without one wait for the disk, with a light batch each.
const FLYING_PER_SEAT: usize = 16;

/// Who asked for a tick, and wants to hear that it has landed.
type Request = oneshot::Sender<Result<RunKey, VigyError>>;

/// See the [module](self).
pub(crate) struct Keeper {
    pub(crate) shared: Arc<Shared>,
    workers: Workers,
    hub: Mutex<Hub>,
    /// Something is more urgent than what the keeper waits for.
    sooner: Notify,
    /// A tick has landed while the runtime was stopping.
    landed: Notify,
}

struct Hub {
    agenda: Agenda<Request>,
    flying: HashMap<(VigyId, Incarnation), Flying>,
    /// How many of those have memory to tick in; the rest only wait for the disk.
    seated: usize,
    /// What the keeper waits for.
    waits_until: Timestamp,
    stopping: bool,
}

struct Flying {
    task: AbortHandle,
    /// Only a task that has begun lands when it is aborted.
    begun: bool,
}

impl Keeper {
    pub(crate) fn new(shared: Arc<Shared>, workers: Workers) -> Arc<Self> {
        let hub = Hub { agenda: Agenda::default(), flying: HashMap::new(), seated: 0, waits_until: Timestamp(0), stopping: false };
        let keeper = Arc::new(Self { shared, workers, hub: Mutex::new(hub), sooner: Notify::new(), landed: Notify::new() });
        keeper.workers.spawn(keeper.clone().keep());
        keeper
    }

    /// Takes up what the store says of some vigies.
    pub(crate) fn told(self: &Arc<Self>, turns: impl IntoIterator<Item = (VigyId, Turn)>) {
        let mut hub = self.hub();
        for (id, turn) in turns {
            if let Some(turn) = self.newest(&hub, id, turn) {
                hub.agenda.told(id, turn);
            }
        }
        self.launch(&mut hub);
    }

    /// Ticks a vigy at once, or after the tick in flight.
    pub(crate) async fn ask(self: &Arc<Self>, id: VigyId, turn: Turn) -> Result<RunKey, VigyError> {
        let (request, landed) = oneshot::channel();
        {
            let mut hub = self.hub();
            if hub.stopping {
                return Err(VigyError::ShuttingDown);
            }
            let turn = self.newest(&hub, id, turn).ok_or_else(|| VigyError::NotFound(id.to_string()))?;
            hub.agenda.ask(id, turn, request);
            self.launch(&mut hub);
        }
        landed.await.map_err(|_| self.over_for(id))?
    }

    /// What the agenda is told of a vigy that somebody saw as `turn`. Versions order what is said of one life; whether another life than
    /// the known one is newer, or what was seen is long over, only the store knows.
    fn newest(&self, hub: &Hub, id: VigyId, turn: Turn) -> Option<Turn> {
        let other = hub.agenda.life(id).is_some_and(|known| known != turn.life);
        let turn = if other { self.standing(id)? } else { turn };
        Some(Turn { due: turn.due.filter(|_| self.shared.scheduling), ..turn })
    }

    /// How a vigy stands in the store.
    fn standing(&self, id: VigyId) -> Option<Turn> {
        read::standing(&*self.shared.store.snapshot(), id).ok().flatten().map(|standing| standing.turn())
    }

    /// What kept a vigy from ticking may be over: it is tried again as if it had not been.
    pub(crate) fn retry(self: &Arc<Self>, id: VigyId) {
        let turn = self.standing(id);
        let mut hub = self.hub();
        if let Some(turn) = turn.filter(|_| self.shared.scheduling) {
            hub.agenda.retry(id, turn);
        }
        self.launch(&mut hub);
    }

    /// Forgets a life of a vigy. A tick in flight is given up.
    pub(crate) fn forget(&self, id: VigyId, life: Incarnation) {
        let flying = {
            let mut hub = self.hub();
            hub.agenda.forget(id, life);
            // One that has not begun will see for itself.
            hub.flying.get(&(id, life)).filter(|flying| flying.begun).map(|flying| flying.task.clone())
        };
        if let Some(flying) = flying {
            flying.abort();
        }
    }

    /// Begins no tick any more.
    pub(crate) fn stop(&self) {
        let mut hub = self.hub();
        hub.stopping = true;
        let agenda = std::mem::take(&mut hub.agenda);
        drop(hub);
        // Whoever asked hears of it now, not while the lock is held.
        drop(agenda);
        self.sooner.notify_one();
    }

    /// Waits for the ticks in flight until the deadline has passed, and gives up what is left: these.
    pub(crate) async fn drain(&self, deadline: Duration) -> Vec<VigyId> {
        self.stop();
        let all = async {
            while !self.hub().flying.is_empty() {
                self.landed.notified().await;
            }
            // Whoever else waits hears of it, too.
            self.landed.notify_one();
        };
        if timeout(deadline, all).await.is_ok() {
            return Vec::new();
        }
        let left: Vec<_> = self.hub().flying.drain().collect();
        left.into_iter().map(|((id, _), flying)| (flying.task.abort(), id).1).collect()
    }

    /// Why nobody will answer who asked for a tick.
    fn over_for(&self, id: VigyId) -> VigyError {
        if self.hub().stopping { VigyError::ShuttingDown } else { VigyError::NotFound(id.to_string()) }
    }

    fn hub(&self) -> MutexGuard<'_, Hub> {
        // Whoever panicked, the agenda is whole between its calls, none of which panics.
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins what is due, as far as there is room, and tells the keeper if it waits for too long.
    fn launch(self: &Arc<Self>, hub: &mut Hub) {
        if hub.stopping {
            return;
        }
        let now = self.shared.now();
        while self.has_room(hub)
            && let Some(start) = hub.agenda.next(now)
        {
            hub.seated += 1;
            let key = (start.id, start.life);
            let flying = self.workers.spawn(self.clone().fly(start));
            // It lands with this lock, so it is still in flight.
            hub.flying.insert(key, Flying { task: flying.abort_handle(), begun: false });
        }
        if self.deadline(hub).is_some_and(|deadline| deadline < hub.waits_until) {
            self.sooner.notify_one();
        }
    }

    /// What to wait for. While there is no room, whoever lands goes on.
    fn deadline(&self, hub: &Hub) -> Option<Timestamp> {
        hub.agenda.deadline().filter(|_| self.has_room(hub))
    }

    fn has_room(&self, hub: &Hub) -> bool {
        let seats = self.shared.ticks_at_once;
        hub.seated < seats && hub.flying.len() < seats.saturating_mul(FLYING_PER_SEAT)
    }

    /// Waits for what is due, until it is told to stop.
    async fn keep(self: Arc<Self>) {
        let mut rested = Instant::now();
        loop {
            let began = Instant::now();
            let (now, nap) = {
                let mut hub = self.hub();
                if hub.stopping {
                    return;
                }
                self.launch(&mut hub);
                let now = self.shared.now();
                let deadline = self.deadline(&hub);
                hub.waits_until = deadline.unwrap_or(Timestamp(u64::MAX));
                (now, deadline.map_or(NAP, |deadline| Duration::from_millis(deadline.since(now)).min(NAP)))
            };
            tokio::select! {
                () = self.sooner.notified() => {}
                () = sleep(nap) => {}
            }
            let expected = now.plus(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
            if self.shared.now().0.abs_diff(expected.0) > CLOCK_JUMP_MS {
                self.take_up().await;
            }
            if rested.elapsed() >= NAP {
                rested = Instant::now();
                self.shared.spaces.rest();
            }
        }
    }

    /// Takes up every schedule anew, as the clock shows another time than it should.
    async fn take_up(self: &Arc<Self>) {
        let now = self.shared.now();
        tracing::warn!(now = now.0, "the clock has jumped");
        match self.shared.store.write(move |transaction| take_up(transaction, now)).await {
            Ok(turns) => self.told(turns),
            Err(error) => tracing::error!(%error, "could not take up the schedules anew"),
        }
    }

    /// A tick, from its start until it has landed.
    async fn fly(self: Arc<Self>, Start { id, life, request }: Start<Request>) {
        let mut flight = Flight { keeper: self.clone(), id, life, seated: true, landed: false };
        if let Some(flying) = self.hub().flying.get_mut(&(id, life)) {
            flying.begun = true;
        }
        let ended = tick(&self.shared, id, life, request.is_some(), || flight.leave_seat()).await;
        let reply = flight.land(ended);
        if let Some(request) = request {
            // Whoever asked may be gone; the run is stored all the same.
            drop(request.send(reply));
        }
    }
}

/// A tick in flight. However it ends, it lands.
struct Flight {
    keeper: Arc<Keeper>,
    id: VigyId,
    life: Incarnation,
    seated: bool,
    landed: bool,
}

impl Flight {
    /// Its memory is for others now.
    fn leave_seat(&mut self) {
        if std::mem::take(&mut self.seated) {
            let mut hub = self.keeper.hub();
            hub.seated -= 1;
            self.keeper.launch(&mut hub);
        }
    }

    /// Tells the agenda how the tick ended, and what to tell whoever asked for it.
    fn land(mut self, ended: Result<Ended, VigyError>) -> Result<RunKey, VigyError> {
        self.landed = true;
        let (id, life) = (self.id, self.life);
        let keeper = self.keeper.clone();
        let over = |turn: Turn| {
            let due = turn.due.filter(|_| keeper.shared.scheduling);
            self.leave(|agenda, _| agenda.over(id, Turn { due, ..turn }));
        };
        match ended {
            Ok(Ended::Over(run, turn)) => {
                over(turn);
                Ok(run)
            }
            Ok(Ended::Early(turn)) => {
                over(turn);
                // Whoever asks for a tick gets one, due or not.
                Err(VigyError::NotFound(id.to_string()))
            }
            Ok(Ended::Gone) => {
                self.leave(|agenda, _| agenda.forget(id, life));
                // Another life may have begun meanwhile, and be known by what was read of this one.
                keeper.told(keeper.standing(id).filter(|turn| turn.life != life).map(|turn| (id, turn)));
                Err(VigyError::NotFound(id.to_string()))
            }
            Ok(Ended::Elsewhere(host)) => {
                self.leave(|agenda, _| agenda.suspended(id, life));
                Err(VigyError::Elsewhere { id, host })
            }
            Err(error) => {
                self.trouble(&error);
                Err(error)
            }
        }
    }

    fn trouble(&self, error: &VigyError) {
        let (id, life) = (self.id, self.life);
        if let VigyError::Store(_) = error {
            self.keeper.shared.store.look_again();
        }
        self.leave(|agenda, now| {
            agenda.troubled(id, life, now, |times| {
                let wait = 1000_u64.checked_shl(times).map_or(MAX_TROUBLE_MS, |wait| wait.min(MAX_TROUBLE_MS));
                tracing::error!(vigy = %id, %error, retry_in_ms = wait, "could not tick");
                wait
            });
        });
    }

    fn leave(&self, note: impl FnOnce(&mut Agenda<Request>, Timestamp)) {
        let now = self.keeper.shared.now();
        let mut hub = self.keeper.hub();
        hub.flying.remove(&(self.id, self.life));
        hub.seated -= usize::from(self.seated);
        note(&mut hub.agenda, now);
        self.keeper.launch(&mut hub);
        if hub.stopping {
            self.keeper.landed.notify_one();
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.landed {
            self.trouble(&VigyError::Host("its task was cut off".to_owned()));
        }
    }
}
