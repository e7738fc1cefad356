//! Machines that processes run on: their clocks, their sleep, their end; and the scheduler that runs them all.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;

use super::{Shared, World, lock};
use crate::rollout::host::Host;
use crate::rollout::{Event, Frame};

/// Ready when the closure says so; the scheduler asks.
pub(super) struct Until<F: FnMut() -> bool + Unpin>(pub F);

impl<F: FnMut() -> bool + Unpin> Future for Until<F> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if (self.0)() {
            return Poll::Ready(());
        }
        // A set of futures asks only those that are awake.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A process in the simulation.
pub struct Machine {
    pub world: Shared,
    pub name: String,
    pub attended: bool,
}

impl Machine {
    pub fn new(world: &Shared, name: &str) -> Machine {
        Machine { world: world.clone(), name: name.to_owned(), attended: false }
    }
}

pub fn holder(name: &str) -> String {
    format!("{name}@sim:1:1-1")
}

impl World {
    /// What a clock that stands still in sleep shows.
    fn awake(&self, name: &str) -> u64 {
        let slept = self.asleep.get(name).into_iter().flatten();
        let slept: u64 = slept.map(|(from, to)| self.now.min(*to).saturating_sub(*from)).sum();
        self.now - slept
    }

    fn wakes(&self, name: &str) -> Option<u64> {
        let now = self.now;
        self.asleep.get(name)?.iter().find(|(from, to)| now >= *from && now < *to).map(|(_, to)| *to)
    }
}

#[async_trait]
impl Host for Machine {
    fn elapsed(&self) -> Duration {
        Duration::from_millis(lock(&self.world).awake(&self.name))
    }
    fn wall(&self) -> f64 {
        let world = lock(&self.world);
        let skew = world.skewed.get(&self.name).copied().unwrap_or(0);
        (world.time().as_millisecond() + skew) as f64 / 1000.0
    }
    async fn sleep(&self, duration: Duration) {
        let due = lock(&self.world).awake(&self.name) + (duration.as_millis() as u64).max(1);
        Until(|| {
            let mut world = lock(&self.world);
            let present = world.awake(&self.name);
            if present < due {
                let at = world.now + due - present;
                world.timers.push(at);
            }
            present >= due
        })
        .await;
    }
    async fn interrupted(&self) {
        Until(|| lock(&self.world).interrupt).await;
    }
    fn holder(&self) -> String {
        holder(&self.name)
    }
    fn gone(&self, holder: &str) -> bool {
        lock(&self.world).dead.contains(holder)
    }
    fn attended(&self) -> bool {
        self.attended
    }
    fn emit(&self, event: &Event) {
        let mut world = lock(&self.world);
        world.hear(event);
        if world.recording {
            let kind = crate::ui::Event::kind(event);
            world.note(|_| format!("[{}] {kind} {event:?}", self.name));
            world.events.push(event.clone());
        }
    }
    fn frame(&self, _: &Frame) {}
}

/// Something that runs in the simulation until its end.
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Runs all tasks to their ends; a killed one ends without a result. Virtual time moves when nobody can.
pub fn run<'a, T>(world: &Shared, tasks: Vec<Task<'a, T>>) -> Vec<Option<T>> {
    run_named(world, tasks.into_iter().map(|task| (String::new(), task)).collect())
}

/// As [`run`], each task on a machine that may sleep or die.
pub fn run_named<'a, T>(world: &Shared, tasks: Vec<(String, Task<'a, T>)>) -> Vec<Option<T>> {
    let (names, tasks): (Vec<String>, Vec<Task<'a, T>>) = tasks.into_iter().unzip();
    let mut tasks: Vec<Option<Task<'a, T>>> = tasks.into_iter().map(Some).collect();
    let mut results: Vec<Option<T>> = tasks.iter().map(|_| None).collect();
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..2_000_000u32 {
        let (before, first) = {
            let mut world = lock(world);
            world.timers.clear();
            (world.pulse, world.dice.below(tasks.len() as u64) as usize)
        };
        let mut ended = false;
        for offset in 0..tasks.len() {
            let index = (first + offset) % tasks.len();
            let Some(task) = &mut tasks[index] else { continue };
            {
                let mut world = lock(world);
                if world.dies.get(&names[index]).is_some_and(|at| world.now >= *at) {
                    world.note(|_| format!("[{}] KILLED", names[index]));
                    drop(world);
                    tasks[index] = None;
                    ended = true;
                    continue;
                }
                if let Some(wakes) = world.wakes(&names[index]) {
                    world.timers.push(wakes);
                    continue;
                }
            }
            if let Poll::Ready(result) = task.as_mut().poll(&mut context) {
                results[index] = Some(result);
                tasks[index] = None;
                ended = true;
            }
            let mut world = lock(world);
            if std::mem::take(&mut world.killed) {
                world.note(|_| "KILLED at a write".into());
                world.kill_at = None;
                drop(world);
                tasks[index] = None;
                ended = true;
            }
        }
        if tasks.iter().all(Option::is_none) {
            return results;
        }
        let mut world = lock(world);
        if world.pulse == before && !ended {
            let Some(next) = world.next_event() else {
                panic!("nothing can happen any more:\n{}", world.log.join("\n"));
            };
            world.advance_to(next);
        }
    }
    let world = lock(world);
    let state = world.state.as_ref().map(|s| s.body.as_str()).unwrap_or_default();
    panic!("never ends:\n{state}\n{}", world.log[world.log.len().saturating_sub(60)..].join("\n"));
}

/// Runs tasks of many worlds in one process, each to its end, in its world's own time.
pub fn run_all<'a, T>(tasks: Vec<(Shared, Task<'a, T>)>) -> Vec<T> {
    let mut results: Vec<Option<T>> = tasks.iter().map(|_| None).collect();
    let mut tasks: Vec<Option<(Shared, Task<'a, T>)>> = tasks.into_iter().map(Some).collect();
    let mut context = Context::from_waker(Waker::noop());
    while tasks.iter().any(Option::is_some) {
        for (task, result) in tasks.iter_mut().zip(&mut results) {
            let Some((world, future)) = task else { continue };
            let before = {
                let mut world = lock(world);
                world.timers.clear();
                world.pulse
            };
            if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
                *result = Some(done);
                *task = None;
                continue;
            }
            let mut world = lock(world);
            if world.pulse == before {
                let next = world.next_event().expect("something happens");
                world.advance_to(next);
            }
        }
    }
    results.into_iter().flatten().collect()
}
