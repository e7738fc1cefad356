//! Autoscalers beside a rollout: one a slot, held so that it neither undoes nor starves what a step asks for, its own
//! bounds kept in the state and given back at every end. Pure.

use serde::{Deserialize, Serialize};

use super::plan::Motion;
use super::step::Turn;
use super::{Effect, Slot};

/// What an autoscaler may do to its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scaler {
    pub min: u32,
    pub max: u32,
    /// It may take pods away.
    pub shrinks: bool,
    /// A rollout set these bounds; its own are kept.
    pub held: bool,
}

impl Scaler {
    pub fn free(min: u32, max: u32) -> Scaler {
        Scaler { min, max, shrinks: true, held: false }
    }
}

impl Turn<'_> {
    /// Keeps the size the service had when its rollout began: a replica canary itself moves the live slot's number.
    pub(super) fn remember_size(&mut self) {
        self.remember_bounds();
        if !self.state.autoscaled || self.state.live.is_none() {
            return;
        }
        let now = self.slot(self.live()).desired;
        let ended = self.state.rollout.as_ref().is_none_or(|r| r.stage.ended());
        self.rollout(|r| r.size = if ended { None } else { Some(r.size.unwrap_or(now)) });
    }

    /// What people set on an adopted autoscaler, while no rollout holds it, is what it gets back.
    fn remember_bounds(&mut self) {
        let Some(adopted) = self.state.adopted.as_mut().filter(|a| a.active) else { return };
        let seen = self.seen.slots.get(&adopted.slot).and_then(|s| s.scaler).filter(|s| !s.held);
        if let (Some(seen), Some(scaler)) = (seen, &mut adopted.scaler) {
            scaler.own = seen;
        }
    }

    /// The slot's autoscaler as it is without a rollout.
    pub(super) fn own(&self, slot: Slot) -> Option<Scaler> {
        match self.state.adopted.as_ref().filter(|a| a.active && a.slot == slot) {
            Some(adopted) => adopted.scaler.as_ref().map(|s| s.own),
            None => self.state.scaling,
        }
    }

    /// R: the pods asked for; with an autoscaler, what it had made of them at the start or, where it goes on beside
    /// the rollout, has now.
    pub fn replicas(&self) -> u32 {
        if !self.state.autoscaled {
            return self.state.replicas;
        }
        let now = self.slot(self.live()).desired;
        let size = match self.state.rollout.as_ref().and_then(|r| Some((r.plan.motion, r.size?))) {
            Some((Motion::Replicas, size)) => size,
            Some((_, size)) => size.max(now),
            None => now,
        };
        size.max(self.state.replicas)
    }

    /// The rollout sets the live slot's number: always, but where an autoscaler goes on beside it.
    pub(super) fn sizes_live(&self) -> bool {
        !self.state.autoscaled || self.motion() == Some(Motion::Replicas)
    }

    fn motion(&self) -> Option<Motion> {
        self.state.under_way().map(|r| r.plan.motion)
    }

    /// Before `slot` gets `replicas` pods, of which its step needs `least`: its autoscaler agrees.
    pub(super) fn bind(&mut self, slot: Slot, replicas: u32, least: u32) {
        let (Some(own), Some(motion)) = (self.own(slot), self.motion()) else { return };
        // An autoscaler whose slot has no pods is off.
        if replicas == 0 {
            return;
        }
        let live = self.state.live.map(|l| l.slot) == Some(slot);
        let wanted = match motion {
            Motion::First | Motion::InPlace => return,
            Motion::Replicas => Scaler { min: replicas, max: replicas, shrinks: true, held: true },
            Motion::Router | Motion::Switch if live => Scaler { shrinks: false, held: true, ..own },
            Motion::Router | Motion::Switch => {
                Scaler { min: least.max(1), max: own.max.max(replicas), shrinks: true, held: true }
            }
        };
        self.rebound(slot, wanted);
    }

    /// The slot's autoscaler has its own bounds again; true once it is seen so, or where there is none.
    pub(super) fn unbind(&mut self, slot: Slot) -> bool {
        match self.own(slot) {
            Some(own) => self.rebound(slot, Scaler::free(own.min, own.max)),
            None => true,
        }
    }

    fn rebound(&mut self, slot: Slot, wanted: Scaler) -> bool {
        let seen = self.slot(slot).scaler;
        let there = seen.is_none_or(|s| s == wanted);
        if !there {
            self.effects.push(Effect::Rebound { slot, scaler: wanted });
        }
        there
    }

    /// After a rollout: the live slot's autoscaler at once, the other's when its slot is empty. True when both are.
    pub(super) fn unbind_both(&mut self) -> bool {
        let (live, idle) = (self.live(), self.idle());
        let free = self.unbind(live);
        let empty = self.slot(idle).desired == 0;
        (!empty || self.unbind(idle)) && free
    }
}
