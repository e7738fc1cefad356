//! What one process knows of the world: caches fed by watches that are late, silent or doubled, each kind by its own
//! stream, and what its own writes were answered.

use super::{Kind, World};
use crate::rollout::{
    Experiment, Observation, Problem, RouteObservation, Routing, Scaler, Selection, Slot, SlotObservation,
};
use jiff::SignedDuration;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, Default)]
struct Deployment {
    revision: u32,
    desired: u32,
    scaler: Option<Scaler>,
    current: bool,
    report: [u32; 3],
}

#[derive(Debug, Clone, Copy)]
struct PodShot {
    revision: u32,
    born: u64,
    ready_at: Option<u64>,
    available: bool,
    going: bool,
    dead: bool,
}

#[derive(Debug, Default)]
pub struct View {
    started: bool,
    /// Kind by kind: what was last taken over, and when the stream brings something again.
    revs: [u64; 6],
    fresh: [u64; 6],
    deployments: [Option<Deployment>; 2],
    experiment: Option<Experiment>,
    pods: [Vec<PodShot>; 2],
    in_public: [u32; 2],
    /// Revision and birth of the pods that each slot's Service leads to.
    led_to: [Vec<(u32, u64)>; 2],
    selection: Option<Selection>,
    selected_by: Option<String>,
    route: Option<(Routing, u64, String)>,
    state: Option<String>,
    /// When what points at the slots was last read past the caches.
    pub reread: u64,
}

impl View {
    fn deployment(&mut self, world: &World, slot: Slot) {
        let cell = world.cell(slot);
        self.deployments[slot as usize] = cell.exists.then_some(Deployment {
            revision: cell.revision,
            desired: cell.desired,
            scaler: cell.scaler,
            current: cell.acted == cell.generation,
            report: cell.report,
        });
    }

    fn take(&mut self, world: &World, kind: Kind) {
        let now = world.now;
        match kind {
            Kind::Deployments => {
                Slot::ALL.into_iter().for_each(|s| self.deployment(world, s));
                self.experiment = world.seen_experiment();
            }
            Kind::Pods => {
                for slot in Slot::ALL {
                    let shots = world.cell(slot).pods.iter().map(|p| PodShot {
                        revision: p.revision,
                        born: p.born,
                        ready_at: p.ready_at.filter(|at| *at <= now),
                        available: p.available(now),
                        going: !p.alive(),
                        dead: p.alive() && p.dead(now),
                    });
                    self.pods[slot as usize] = shots.collect();
                }
            }
            Kind::Service => {
                self.selection = world.selection;
                self.selected_by = world.selected_by.clone();
            }
            Kind::Slices => {
                let selected = world.selected();
                for (index, chosen) in selected.into_iter().enumerate() {
                    let holds = chosen || now < world.leaving[index];
                    self.in_public[index] = if holds { world.cells[index].pods.len() as u32 } else { 0 };
                    let led = world.cells[index].pods.iter().filter(|p| p.led_to(now));
                    self.led_to[index] = led.map(|p| (p.revision, p.born)).collect();
                }
            }
            Kind::Route => self.route = world.route.clone(),
            Kind::State => self.state = world.state.as_ref().map(|s| s.version.clone()),
        }
        self.revs[kind as usize] = world.revs[kind as usize];
    }

    /// Takes over what the watches have brought.
    pub fn look(&mut self, world: &mut World) {
        for kind in Kind::ALL {
            let index = kind as usize;
            if self.started && world.now < self.fresh[index] {
                continue;
            }
            self.take(world, kind);
            let silent = world.silence_per_mille;
            self.fresh[index] =
                world.now + if world.dice.chance(silent) { world.dice.below(20_000) } else { world.delay() };
        }
        if !self.started {
            self.started = true;
            self.reread = world.now;
        }
    }

    /// A pod of the slot was there when that was last heard of.
    pub fn knows(&self, slot: Slot) -> bool {
        !self.pods[slot as usize].is_empty()
    }

    /// Pods that could serve under `selection` when that was last heard of; None: under the present one.
    pub fn serve(&self, selection: Option<Selection>) -> u32 {
        let chosen = |slot: &Slot| selection.or(self.selection).is_some_and(|s| s.includes(*slot));
        let able = |slot: Slot| self.pods[slot as usize].iter().filter(|p| p.available && !p.going).count();
        Slot::ALL.into_iter().filter(chosen).map(able).sum::<usize>() as u32
    }

    /// All requests went to the slot when that was last heard of; of those that split by pods, some.
    pub fn leads_to(&self, slot: Slot) -> bool {
        self.selection.is_none_or(|s| s.includes(slot))
            && self.route.as_ref().is_none_or(|(routing, ..)| routing.same(&Routing::all(slot)))
    }

    /// Whether there is news; the moments at which there will be are left with the timers.
    pub fn news(&self, world: &mut World) -> bool {
        let mut news = false;
        for index in 0..6 {
            if self.revs[index] != world.revs[index] {
                news |= world.now >= self.fresh[index];
                world.timers.push(self.fresh[index]);
            }
        }
        news
    }

    /// What points at the slots, read past the caches.
    pub fn reread(&mut self, world: &World) {
        for kind in [Kind::Service, Kind::Slices, Kind::Route] {
            self.take(world, kind);
        }
        self.reread = world.now;
    }

    /// The answer to a write holds the object as it is now.
    pub fn wrote_slot(&mut self, world: &World, slot: Slot) {
        self.deployment(world, slot);
    }
    pub fn wrote(&mut self, world: &World, kind: Kind) {
        self.take(world, kind);
    }

    pub fn observation(&self, world: &World) -> Observation {
        let mut slots = BTreeMap::new();
        for slot in Slot::ALL {
            if let Some(deployment) = self.deployments[slot as usize] {
                slots.insert(slot, self.slot(world, slot, deployment));
            }
        }
        Observation {
            time: world.time(),
            slots,
            selection: self.selection,
            selected_by: self.selected_by.clone(),
            route: self.route.as_ref().map(|(routing, since, by)| RouteObservation {
                routing: routing.clone(),
                accepted: true,
                refusal: None,
                since: Some(world.time() - SignedDuration::from_millis((world.now - since) as i64)),
                by: Some(by.clone()),
            }),
            state_version: Some(self.state.clone().unwrap_or_default()),
            terminating: false,
            experiment: self.experiment.clone(),
        }
    }

    fn slot(&self, world: &World, slot: Slot, deployment: Deployment) -> SlotObservation {
        let (pods, led) = (&self.pods[slot as usize], &self.led_to[slot as usize]);
        let alive = || pods.iter().filter(|p| !p.going);
        let ours = || alive().filter(|p| p.revision == deployment.revision);
        let available = alive().filter(|p| p.available).count() as u32;
        let problems = ours().filter(|p| p.dead).map(|p| Problem {
            reason: "crash".into(),
            pod: format!("pod-{}-{}", p.revision, p.born),
            message: "exit code 1".into(),
            terminal: true,
            log: vec!["boom".into()],
        });
        let progressed = ours().map(|p| p.ready_at.unwrap_or(p.born).max(p.born)).max();
        let (replicas, updated) = (alive().count() as u32, ours().count() as u32);
        SlotObservation {
            revision: deployment.revision,
            desired: deployment.desired,
            lagging: deployment.report != [replicas, updated, available],
            current: deployment.current,
            replicas,
            updated,
            ready: available,
            available,
            updated_available: ours().filter(|p| p.available).count() as u32,
            led_to: ours().filter(|p| p.available && led.contains(&(p.revision, p.born))).count() as u32,
            terminating: pods.iter().filter(|p| p.going).count() as u32,
            in_public: self.in_public[slot as usize],
            progressed: progressed
                .map(|at| world.time() - SignedDuration::from_millis((world.now - at) as i64)),
            problems: problems.take(1).collect(),
            restarts: 0,
            lost: Vec::new(),
            scaler: deployment.scaler,
        }
    }
}
