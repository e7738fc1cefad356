//! A slot as the cluster has it: a Deployment, its pods, and the controller that makes the one follow the other.

use super::dice::Dice;
use crate::rollout::Scaler;

/// How pods of a revision behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    Good,
    /// A terminal problem after so many milliseconds, never ready.
    Crashes(u64),
    NeverReady,
    /// Ready after so many milliseconds more than others.
    Slow(u64),
    /// Ready, and so many milliseconds later crashing for good.
    DiesAfter(u64),
}

impl Behaviour {
    /// May become ready, and stay so.
    pub fn good(self) -> bool {
        matches!(self, Behaviour::Good | Behaviour::Slow(_))
    }
}

#[derive(Debug, Clone)]
pub struct Pod {
    pub revision: u32,
    pub ready_at: Option<u64>,
    /// How long after that its slot's Service leads to it.
    pub trails: u64,
    pub dies_at: Option<u64>,
    pub gone_at: Option<u64>,
    /// Not ready in between.
    pub flaps: Option<(u64, u64)>,
    pub born: u64,
}

impl Pod {
    pub fn dead(&self, now: u64) -> bool {
        self.dies_at.is_some_and(|at| now >= at)
    }
    /// Was ready and died by itself: whoever counted on it could not know.
    pub fn lost(&self, now: u64) -> bool {
        self.gone_at.is_none() && self.dead(now) && self.ready_at.is_some_and(|at| now >= at)
    }
    pub fn alive(&self) -> bool {
        self.gone_at.is_none()
    }
    pub fn available(&self, now: u64) -> bool {
        self.alive()
            && self.ready_at.is_some_and(|at| now >= at)
            && !self.dead(now)
            && self.flaps.is_none_or(|(from, to)| now < from || now >= to)
    }
    /// Its slot's Service leads to it.
    pub fn led_to(&self, now: u64) -> bool {
        let since = |at: u64| now >= at + self.trails;
        self.available(now)
            && self.ready_at.is_some_and(since)
            && self.flaps.is_none_or(|(from, to)| now < from || since(to))
    }
}

/// How the controller replaces pods, and how long they take.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    pub surge: u32,
    pub unavailable: u32,
    pub startup: u64,
    pub grace: u64,
    /// Endpoints trail a pod's readiness by so much at most.
    pub trailing: u64,
}

/// A report as the Deployment's status has it.
pub type Report = [u32; 3];

#[derive(Debug, Clone, Default)]
pub struct Cell {
    pub exists: bool,
    pub revision: u32,
    pub desired: u32,
    pub pods: Vec<Pod>,
    pub generation: u64,
    /// When the controller acts on the newest generation.
    pub acts_at: u64,
    pub acted: u64,
    /// What the status says, and when it will say what is.
    pub report: Report,
    pub reports_at: u64,
    pub scaler: Option<Scaler>,
}

impl Cell {
    pub fn available(&self, now: u64) -> u32 {
        self.pods.iter().filter(|p| p.available(now)).count() as u32
    }
    /// Available pods that the slot's Service leads to.
    pub fn led_to(&self, now: u64) -> u32 {
        self.pods.iter().filter(|p| p.led_to(now)).count() as u32
    }
    pub fn alive(&self) -> u32 {
        self.pods.iter().filter(|p| p.alive()).count() as u32
    }
    pub fn lost(&self, now: u64) -> u32 {
        self.pods.iter().filter(|p| p.lost(now)).count() as u32
    }
    fn old(&self) -> u32 {
        self.pods.iter().filter(|p| p.alive() && p.revision != self.revision).count() as u32
    }
    pub fn truth(&self, now: u64) -> Report {
        let ours = self.pods.iter().filter(|p| p.alive() && p.revision == self.revision).count() as u32;
        [self.alive(), ours, self.available(now)]
    }

    /// The next moment at which something happens here.
    pub fn next(&self, now: u64) -> Option<u64> {
        let pods = self.pods.iter().flat_map(|p| {
            let (from, to) = p.flaps.map_or((None, None), |(f, t)| (Some(f), Some(t)));
            let led = [p.ready_at, to].map(|at| at.map(|at| at + p.trails));
            [p.ready_at, p.dies_at, p.gone_at, from, to].into_iter().chain(led)
        });
        let own = [Some(self.acts_at), Some(self.reports_at)];
        pods.chain(own).flatten().filter(|t| *t > now).min()
    }

    /// An autoscaler, once: within its bounds at once, and now and then to any number there. Off without pods.
    pub fn autoscale(&mut self, now: u64, restless: bool, dice: &mut Dice) -> bool {
        let Some(scaler) = self.scaler.filter(|_| self.desired > 0) else { return false };
        let mut wanted = self.desired;
        if restless && dice.chance(30) {
            wanted = scaler.min + dice.below(u64::from(scaler.max - scaler.min) + 1) as u32;
        }
        wanted = wanted.clamp(scaler.min, scaler.max);
        let moves = wanted > self.desired || (wanted < self.desired && scaler.shrinks);
        if moves {
            self.desired = wanted;
            self.generation += 1;
            self.acts_at = now;
        }
        moves
    }

    fn stop(&mut self, now: u64, grace: u64, which: impl Fn(&Pod) -> bool) -> bool {
        // Those that do not serve go first, as the controller has it; then the youngest.
        let order = (0..self.pods.len()).filter(|i| self.pods[*i].alive() && which(&self.pods[*i]));
        let first = order.min_by_key(|i| (self.pods[*i].available(now), u64::MAX - self.pods[*i].born));
        first.is_some_and(|index| {
            self.pods[index].gone_at = Some(now + grace);
            true
        })
    }

    fn start(&mut self, now: u64, how: Behaviour, manners: Manners, dice: &mut Dice) {
        let ready = now + manners.startup + dice.below(manners.startup.max(2) / 2);
        let (ready_at, dies_at) = match how {
            Behaviour::Good => (Some(ready), None),
            Behaviour::Slow(more) => (Some(ready + more), None),
            Behaviour::Crashes(after) => (None, Some(now + after)),
            Behaviour::NeverReady => (None, None),
            Behaviour::DiesAfter(after) => (Some(ready), Some(ready + after)),
        };
        let revision = self.revision;
        // From the birth, so that the dice fall as they do without.
        let trails = (now * 7919 + u64::from(revision) * 104_729) % (manners.trailing + 1);
        self.pods.push(Pod { revision, ready_at, trails, dies_at, gone_at: None, flaps: None, born: now });
    }

    /// The controller, once: pods come and go within surge and unavailable.
    pub fn shape(&mut self, now: u64, how: Behaviour, manners: Manners, dice: &mut Dice) {
        if self.old() == 0 {
            while self.alive() > self.desired && self.stop(now, manners.grace, |_| true) {}
            while self.alive() < self.desired {
                self.start(now, how, manners, dice);
            }
            return;
        }
        let (desired, revision) = (self.desired, self.revision);
        while self.alive() < desired + manners.surge && self.alive() - self.old() < desired {
            self.start(now, how, manners, dice);
        }
        while self.old() > 0 {
            let useless = self.pods.iter().any(|p| p.alive() && p.revision != revision && !p.available(now));
            if !useless && self.available(now) <= desired.saturating_sub(manners.unavailable) {
                break;
            }
            self.stop(now, manners.grace, |p| p.revision != revision);
        }
        while self.alive() > desired + manners.surge
            && self.stop(now, manners.grace, |p| p.revision == revision && !p.available(now))
        {}
    }
}
