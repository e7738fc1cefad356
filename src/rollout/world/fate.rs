//! What happens to a service unasked: nodes are drained, readiness flaps, others write where the engine does.

use super::{Kind, World};
use crate::rollout::{Routing, Selection, Slot};

#[derive(Debug, Clone)]
pub enum Fate {
    /// So many available pods are evicted.
    Evict(u32),
    /// A pod is not ready for so long.
    Flap(u64),
    /// Someone points the service's own name back.
    Select(Selection),
    /// Someone points the route back.
    Route(Slot),
    /// The Lease is deleted by hand.
    DropLease,
    /// An autoscaler wants so many pods at least in the slot that serves.
    Scale(u32),
}

impl World {
    /// Everything that is due.
    pub(super) fn befall(&mut self) {
        while let Some(index) = self.fates.iter().position(|(at, _)| *at <= self.now) {
            let (_, fate) = self.fates.swap_remove(index);
            self.note(|_| format!("FATE {fate:?}"));
            self.strike(fate);
        }
    }

    /// When what is taken now is replaced at the latest.
    pub(super) fn mended(&self) -> u64 {
        let silence = if self.silence_per_mille > 0 { 20_000 } else { 0 };
        self.now + 2 * self.startup + 4 * self.watch_delay + 1000 + silence
    }

    fn strike(&mut self, fate: Fate) {
        let (now, mended) = (self.now, self.mended());
        match fate {
            Fate::Evict(count) => {
                for _ in 0..count {
                    let start = self.dice.below(2) as usize;
                    let grace = now + self.grace;
                    let cell = [start, 1 - start].into_iter().find(|i| self.cells[*i].available(now) > 0);
                    let Some(cell) = cell.map(|i| &mut self.cells[i]) else { return };
                    if let Some(pod) = cell.pods.iter_mut().find(|p| p.available(now)) {
                        pod.gone_at = Some(grace);
                        cell.acts_at = now;
                        self.laws.excuse(mended);
                    }
                }
                self.bump(Kind::Pods);
            }
            Fate::Flap(length) => {
                let start = self.dice.below(2) as usize;
                for index in [start, 1 - start] {
                    if let Some(pod) = self.cells[index].pods.iter_mut().find(|p| p.available(now)) {
                        pod.flaps = Some((now, now + length));
                        // The controller may take it for useless and replace it.
                        self.laws.excuse((now + length).max(mended));
                        self.bump(Kind::Pods);
                        return;
                    }
                }
            }
            Fate::Select(selection) => {
                if self.selection.is_some_and(|s| s != selection) {
                    self.select(selection, "argocd-controller");
                    self.laws.meddled.0 = true;
                }
            }
            Fate::Route(slot) => {
                if self.route.as_ref().is_some_and(|(r, ..)| !r.same(&Routing::all(slot))) {
                    self.point(Routing::all(slot), "argocd-controller");
                    self.laws.meddled.1 = true;
                }
            }
            Fate::DropLease => self.lease = None,
            Fate::Scale(replicas) => {
                let reached = self.reached();
                if let Some(slot) = Slot::ALL.into_iter().find(|s| reached[*s as usize]) {
                    let cell = &mut self.cells[slot as usize];
                    if cell.desired > 0 {
                        cell.desired = cell.desired.max(replicas);
                        self.touch(slot);
                    }
                }
            }
        }
    }
}
