//! What people, rivals, machines and fate do in one schedule, all thrown from its seed.

use crate::rollout::world::{Behaviour, Dice, Fate, Opinion};
use crate::rollout::{Selection, Slot, Verb};
use crate::service::Strategy;

/// What somebody types.
#[derive(Debug, Clone)]
pub enum Act {
    Deploy(&'static str, Option<Strategy>),
    Ask(Verb),
    Undo,
    Attach { once: bool },
    Contract,
}

/// Somebody at a machine of their own.
#[derive(Debug, Clone)]
pub struct Actor {
    pub name: String,
    pub at: u64,
    pub act: Act,
    pub asleep: Option<(u64, u64)>,
    pub dies: Option<u64>,
    /// Those who come later can tell that it is dead.
    pub seen_dead: bool,
    /// Milliseconds by which its clock is wrong.
    pub skew: i64,
}

/// How the candidate is judged, and what whoever judges says of each revision.
#[derive(Debug, Clone)]
pub struct Judged {
    steps: Option<&'static str>,
    analysis: String,
    blue_green: &'static str,
    pub opinions: Vec<(u32, Opinion)>,
    pub longest: u64,
}

/// How the database is migrated.
#[derive(Debug, Clone, Copy)]
pub struct Migrated {
    /// How long a migration takes at most.
    pub longest: u64,
    pub fails_per_mille: u64,
}

#[derive(Debug, Clone)]
pub struct Script {
    pub replicas: u32,
    pub autoscaled: bool,
    pub router: bool,
    pub strategy: Strategy,
    pub rollout: String,
    pub actors: Vec<Actor>,
    pub behaviours: Vec<(u32, Behaviour)>,
    pub fates: Vec<(u64, Fate)>,
    pub kill_at: Option<(u64, bool)>,
    pub watch_delay: u64,
    pub silence: u64,
    pub latency: u64,
    pub faults: u64,
    pub harsh: bool,
    pub endpoint_lag: u64,
    pub judged: Option<Judged>,
    pub migrated: Option<Migrated>,
    /// Nothing but faults and deaths: the end is that of an undisturbed run.
    pub plain: bool,
}

const WITH_ROUTER: [Strategy; 5] =
    [Strategy::Rolling, Strategy::Canary, Strategy::BlueGreen, Strategy::Ab, Strategy::Mirror];

fn strategies(router: bool) -> &'static [Strategy] {
    if router { &WITH_ROUTER } else { &WITH_ROUTER[..3] }
}

impl Script {
    pub fn throw(seed: u64) -> Script {
        let mut dice = Dice(seed ^ 0x5eed);
        let dice = &mut dice;
        let router = dice.chance(500);
        let strategy = dice.pick(strategies(router));
        let plain = dice.chance(250);
        let replicas = 1 + dice.below(5) as u32;
        // Beside the dice, so that they fall as they did: few revisions are kept, and soon there are more.
        let history = [10, 10, 2, 1][(seed % 4) as usize];
        let mut judge = Dice(seed ^ 0xc0de);
        let judged = (seed % 5 == 4 && strategy != Strategy::Rolling)
            .then(|| Judged::throw(&mut judge, strategy, router));
        let rollout = rollout(dice, strategy, router, plain, history, judged.as_ref());
        let horizon = dice.pick(&[3_000, 12_000, 40_000]);
        let mut actors = vec![actor(dice, 0, 0, Act::Deploy("v2", None), horizon, plain)];
        if !plain {
            for number in 1..=dice.below(5) {
                let at = dice.below(horizon);
                let act = act(dice, router);
                actors.push(actor(dice, number, at, act, horizon, false));
            }
        }
        let mut schema = Dice(seed ^ 0x5c4e);
        let schema = &mut schema;
        let migrated = (seed % 6 == 5).then(|| Migrated {
            longest: schema.pick(&[0, 3_000, 20_000]),
            fails_per_mille: if plain { 0 } else { schema.pick(&[0, 0, 300]) },
        });
        if migrated.is_some() && !plain {
            // Long after the others: a contract waits for deploys after the one it closes.
            let late = [
                Act::Deploy("v3", None),
                Act::Deploy("v4", None),
                Act::Undo,
                Act::Contract,
                Act::Deploy("v1", None),
            ];
            let late = late.into_iter().filter(|_| schema.chance(500)).collect::<Vec<_>>();
            for (nth, act) in late.into_iter().enumerate() {
                let at = schema.below(2 * horizon) + schema.pick(&[0, 90_000]) * (1 + nth as u64);
                let number = actors.len() as u64;
                actors.push(actor(schema, number, at, act, horizon, false));
            }
        }
        let behaviours = [2, 3, 4].map(|revision| (revision, behaviour(dice))).to_vec();
        let fateful = !plain && dice.chance(400);
        let count = if fateful { 1 + dice.below(4) } else { 0 };
        let fates = (0..count).map(|_| (dice.below(horizon), fate(dice))).collect();
        Script {
            judged,
            rollout: if migrated.is_some() {
                let window = schema.below(3);
                rollout.replacen("{", &format!("{{rollbackWindow: {window}, "), 1)
            } else {
                rollout
            },
            migrated,
            replicas,
            autoscaled: !plain && dice.chance(100),
            router,
            strategy,
            actors,
            behaviours,
            fates,
            kill_at: dice.chance(300).then(|| (1 + dice.below(40), dice.chance(500))),
            watch_delay: dice.pick(&[0, 50, 400, 2000]),
            silence: dice.pick(&[0, 0, 20]),
            latency: dice.pick(&[0, 0, 20, 300]),
            faults: dice.pick(&[0, 0, 20, 100]),
            harsh: dice.chance(500),
            plain,
            endpoint_lag: dice.pick(&[0, 0, 300, 3000]),
        }
    }

    /// The same without faults and deaths.
    pub fn undisturbed(&self) -> Script {
        let mut script = Script { kill_at: None, watch_delay: 0, silence: 0, faults: 0, ..self.clone() };
        for actor in &mut script.actors {
            (actor.asleep, actor.dies, actor.skew) = (None, None, 0);
        }
        script
    }
}

impl Judged {
    fn throw(dice: &mut Dice, strategy: Strategy, router: bool) -> Judged {
        let once = "{name: e2e, job: {image: e2e}, errorLimit: 100}";
        let thrice = "{name: e2e, job: {image: e2e}, interval: 4s, count: 3, errorLimit: 100}";
        let smoke = "{name: e2e, smoke: {path: /, requests: 4}, errorLimit: 100}";
        let alone = router || strategy == Strategy::BlueGreen;
        let metric = dice.pick(&[once, thrice, if alone { smoke } else { once }]);
        let inline = "[{weight: 34}, {analyze: 6s}, {weight: 67}]";
        let experiment = "[{weight: 34}, {experiment: 6s, metrics: [e2e]}, {weight: 67}]";
        let steps = dice.pick(&["[{weight: 20}, {weight: 60}]", inline, experiment]);
        let fits = metric != smoke || steps != experiment;
        let opinion =
            |dice: &mut Dice| dice.pick(&[Opinion::Good, Opinion::Good, Opinion::Bad, Opinion::Silent]);
        Judged {
            steps: fits.then_some(steps),
            analysis: format!(", analysis: {{warmUp: 1s, metrics: [{metric}]}}"),
            blue_green: dice.pick(&[", pre: [e2e]", ", post: [e2e]", ""]),
            opinions: [2, 3, 4].map(|revision| (revision, opinion(dice))).to_vec(),
            longest: dice.pick(&[0, 3_000, 20_000]),
        }
    }
}

fn rollout(
    dice: &mut Dice,
    strategy: Strategy,
    router: bool,
    plain: bool,
    history: u64,
    judged: Option<&Judged>,
) -> String {
    let steps = dice.pick(&[
        "[{weight: 20}, {weight: 60}]",
        "[{weight: 34}, {pause: 5s}, {weight: 67}]",
        "[{weight: 50}, {pause: {}}]",
        "[{weight: 1}, {weight: 99}]",
        "[{weight: 60}, {weight: 20}, {pause: 3s}]",
        "[{weight: 50}, {weight: 100}, {pause: {}}]",
        "[{weight: 100}, {pause: 4s}, {weight: 30}]",
    ]);
    let special = dice.pick(&[
        "[{scale: 1}, {pause: 2s}, {weight: 30}, {scale: match}, {weight: 70}]",
        "[{header: {name: x-user, exact: beta}}, {pause: 3s}, {weight: 40}]",
        "[{mirror: 30}, {pause: 2s}, {mirror: 0}, {weight: 25}]",
    ]);
    let steps = if router && dice.chance(300) { special } else { steps };
    let steps = judged.and_then(|j| j.steps).unwrap_or(steps);
    let (analysis, gates) = judged.map_or(("", ""), |j| (j.analysis.as_str(), j.blue_green));
    let (surge, unavailable) = dice.pick(&[(1, 0), (0, 1), (2, 1), (1, 1)]);
    let delay = dice.pick(&[0, 30, 3600]);
    let abort = dice.pick(&[1, 30]);
    let dynamic = dice.chance(200);
    let promote = dice.pick(&["auto", "manual", "3s"]);
    // Who is asked to promote is not asked to judge.
    let promote = if judged.is_some() { "auto" } else { promote };
    let preview = dice.pick(&["all", "1"]);
    let tests = if router { ", ab: {percent: 25}, mirror: {percent: 50, until: 3s}" } else { "" };
    // Faults may cost half a minute each; how long they add up to is not what a plain schedule is about.
    let deadline = if plain { 1800 } else { 60 };
    format!(
        "{{strategy: {strategy}, steps: {steps}, surge: {surge}, unavailable: {unavailable}, \
         scaleDownDelay: {delay}s, abortDelay: {abort}s, dynamicStable: {dynamic}, progressDeadline: {deadline}s, history: {history}, \
         blueGreen: {{promote: {promote}, previewReplicas: {preview}{gates}}}{tests}{analysis}}}"
    )
}

fn actor(dice: &mut Dice, number: u64, at: u64, act: Act, horizon: u64, plain: bool) -> Actor {
    let from = at + dice.below(horizon);
    let asleep = dice.chance(150).then(|| (from, from + 1 + dice.below(60_000)));
    let dies = dice.chance(200).then(|| at + dice.below(horizon));
    let skew = if plain { 0 } else { dice.pick(&[0, 0, 0, 20_000, -20_000, 3_600_000]) };
    Actor { name: format!("p{number}"), at, act, asleep, dies, seen_dead: dice.chance(500), skew }
}

fn act(dice: &mut Dice, router: bool) -> Act {
    match dice.below(12) {
        0 => {
            let strategy = dice.chance(300).then(|| dice.pick(strategies(router)));
            Act::Deploy(dice.pick(&["v1", "v3", "v3", "v4"]), strategy)
        }
        1 => Act::Deploy("v3", None),
        2 => Act::Undo,
        3 => Act::Attach { once: dice.chance(500) },
        4 | 5 => Act::Ask(Verb::Abort),
        6 => Act::Ask(Verb::Promote { full: false }),
        7 => Act::Ask(Verb::Promote { full: true }),
        8 => Act::Ask(Verb::Pause),
        9 => Act::Ask(Verb::Resume),
        10 => Act::Ask(Verb::Retry),
        _ => Act::Ask(Verb::Scale(1 + dice.below(6) as u32)),
    }
}

fn behaviour(dice: &mut Dice) -> Behaviour {
    match dice.below(12) {
        0 => Behaviour::Crashes(dice.below(1500)),
        1 => Behaviour::NeverReady,
        2 => Behaviour::Slow(dice.below(20_000)),
        3 => Behaviour::DiesAfter(1 + dice.below(20_000)),
        _ => Behaviour::Good,
    }
}

fn fate(dice: &mut Dice) -> Fate {
    match dice.below(6) {
        0 => Fate::Evict(1 + dice.below(2) as u32),
        1 => Fate::Flap(1 + dice.below(5000)),
        2 => Fate::Select(dice.pick(&[Selection::Blue, Selection::Green])),
        3 => Fate::Route(dice.pick(&[Slot::Blue, Slot::Green])),
        4 => Fate::DropLease,
        _ => Fate::Scale(1 + dice.below(6) as u32),
    }
}
