//! How many pods each slot has: the share a weight means, and the way there within surge and unavailable. Pure.

/// Numbers of pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub candidate: u32,
    pub live: u32,
}

impl Counts {
    pub fn total(self) -> u32 {
        self.candidate + self.live
    }
    /// The candidate's share in percent, as people are told.
    pub fn share(self) -> u8 {
        match self.total() {
            0 => 0,
            total => ((f64::from(self.candidate) * 100.0 / f64::from(total)).round()) as u8,
        }
    }
}

/// What a slot was asked for, and what of it can serve.
#[derive(Debug, Clone, Copy)]
pub struct Side {
    pub desired: u32,
    pub available: u32,
}

/// How far the sum of pods may stray from `replicas` while they move.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub replicas: u32,
    pub surge: u32,
    /// Never zero together with surge.
    pub unavailable: u32,
}

impl Bounds {
    pub fn new(replicas: u32, surge: u32, unavailable: u32) -> Self {
        Bounds { replicas, surge, unavailable: if surge == 0 { unavailable.max(1) } else { unavailable } }
    }
    /// Pods that must stay available.
    pub fn floor(self) -> u32 {
        self.replicas.saturating_sub(self.unavailable)
    }
}

/// Without a router, numbers of pods are the weight: the split nearest to `weight` percent, over the replicas or,
/// with surge, over one more. The fewer pods win a tie between totals, the larger candidate one between halves.
pub fn split(replicas: u32, weight: u8, surge: bool) -> Counts {
    match weight {
        0 => return Counts { candidate: 0, live: replicas },
        100.. => return Counts { candidate: replicas.max(1), live: 0 },
        _ => {}
    }
    let replicas = replicas.max(1);
    let lonely = replicas == 1 && !surge;
    let mut best: Option<(u32, u32, Counts)> = None;
    for total in [replicas, replicas + 1].into_iter().take(if surge { 2 } else { 1 }) {
        let exact = total * u32::from(weight);
        for candidate in [exact.div_ceil(100), exact / 100] {
            if !lonely && (candidate == 0 || candidate == total) {
                continue;
            }
            // The error in percent, times `total`, compared across totals by cross-multiplying.
            let error = (candidate * 100).abs_diff(exact);
            let better = best
                .is_none_or(|(e, t, _)| u64::from(error) * u64::from(t) < u64::from(e) * u64::from(total));
            if better {
                best = Some((error, total, Counts { candidate, live: total - candidate }));
            }
        }
    }
    // Two pods at least and rounding both ways to a forbidden end: one of them.
    best.map_or_else(
        || {
            let candidate = if weight >= 50 { replicas - 1 } else { 1 };
            Counts { candidate, live: replicas - candidate }
        },
        |(_, _, counts)| counts,
    )
}

/// With a router: candidate pods that carry `weight` percent.
pub fn carrying(replicas: u32, weight: u8) -> u32 {
    (replicas * u32::from(weight)).div_ceil(100)
}

/// Live pods that must be available before the candidate's weight becomes `weight`.
pub fn remaining(replicas: u32, weight: u8) -> u32 {
    replicas * (100 - u32::from(weight.min(100))) / 100
}

/// The next numbers to ask for on the way to `target`. Growing comes before shrinking, the live slot before the
/// candidate. The side that shrinks counts by what was asked, the other by what is available: so crashing pods
/// can neither deadlock the move nor pass for capacity.
pub fn toward(target: Counts, candidate: Side, live: Side, bounds: Bounds) -> Counts {
    let mut next = Counts { candidate: candidate.desired, live: live.desired };
    let mut up = (bounds.replicas + bounds.surge).saturating_sub(next.total());
    let grow = |now: u32, to: u32, up: &mut u32| {
        let by = to.saturating_sub(now).min(*up);
        *up -= by;
        now + by
    };
    next.live = grow(next.live, target.live, &mut up);
    next.candidate = grow(next.candidate, target.candidate, &mut up);
    // Where both are to shrink, one at a time: neither passes for the other's capacity.
    let shrink = |one: Side, to: u32, other: Side| {
        let present = one.desired + other.available.min(other.desired);
        one.desired - one.desired.saturating_sub(to).min(present.saturating_sub(bounds.floor()))
    };
    let smaller = shrink(candidate, target.candidate, live);
    if smaller < candidate.desired {
        next.candidate = smaller;
    } else if live.desired > target.live {
        next.live = shrink(live, target.live, candidate);
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_splits() {
        for (replicas, weight, surge, candidate, live) in [
            (1, 49, false, 0, 1),
            (1, 50, false, 1, 0),
            (1, 1, true, 1, 1),
            (2, 1, true, 1, 2),
            (3, 50, false, 2, 1),
            (3, 50, true, 2, 2),
            (10, 15, false, 2, 8),
            (10, 5, true, 1, 10),
            (1, 25, true, 1, 1),
            (8, 25, true, 2, 6),
            (4, 25, true, 1, 3),
            (3, 20, true, 1, 3),
            (3, 34, true, 1, 2),
            (3, 0, true, 0, 3),
            (3, 100, true, 3, 0),
        ] {
            let got = split(replicas, weight, surge);
            assert_eq!((got.candidate, got.live), (candidate, live), "R {replicas} W {weight} surge {surge}");
        }
    }

    #[test]
    fn with_a_router_the_candidate_carries_its_share() {
        for (replicas, weight, pods) in
            [(4, 25, 1), (4, 50, 2), (3, 1, 1), (10, 15, 2), (4, 100, 4), (4, 0, 0)]
        {
            assert_eq!(carrying(replicas, weight), pods, "R {replicas} W {weight}");
        }
        assert_eq!(remaining(4, 50), 2);
        assert_eq!(remaining(3, 100), 0);
    }

    /// Moves until nothing changes; every pod becomes available in between. Checks both bounds on the way.
    fn walk(target: Counts, mut now: Counts, bounds: Bounds) -> Counts {
        for _ in 0..200 {
            let side = |n| Side { desired: n, available: n };
            let next = toward(target, side(now.candidate), side(now.live), bounds);
            if next == now {
                return now;
            }
            let ceiling = (bounds.replicas + bounds.surge).max(now.total());
            assert!(next.total() <= ceiling, "{next:?} over {ceiling}");
            assert!(
                next.candidate.min(now.candidate) + next.live.min(now.live)
                    >= bounds.floor().min(now.total())
            );
            now = next;
        }
        panic!("never settles: {now:?} to {target:?} within {bounds:?}");
    }

    #[test]
    fn crashing_candidates_keep_the_live_pods() {
        let bounds = Bounds::new(4, 1, 0);
        let next = toward(
            Counts { candidate: 1, live: 3 },
            Side { desired: 1, available: 0 },
            Side { desired: 4, available: 4 },
            bounds,
        );
        assert_eq!(next, Counts { candidate: 1, live: 4 });
    }

    #[test]
    fn crashing_live_pods_do_not_deadlock() {
        let next = toward(
            Counts { candidate: 4, live: 0 },
            Side { desired: 1, available: 1 },
            Side { desired: 4, available: 0 },
            Bounds::new(4, 1, 0),
        );
        assert_eq!(next.live, 3);
    }

    #[test]
    fn a_candidate_that_serves_nobody_yet_is_no_reason_to_take_live_pods() {
        // From 4 replicas to 2, while 3 candidates are still starting.
        let side = |desired, available| Side { desired, available };
        let (target, bounds) = (Counts { candidate: 2, live: 0 }, Bounds::new(2, 2, 1));
        let next = toward(target, side(3, 0), side(3, 3), bounds);
        assert_eq!(next, Counts { candidate: 2, live: 3 });
        let next = toward(target, side(2, 0), side(3, 3), bounds);
        assert_eq!(next, Counts { candidate: 2, live: 1 });
        // Neither side is stuck where both are broken.
        assert_eq!(toward(target, side(3, 0), side(3, 0), bounds), Counts { candidate: 2, live: 3 });
        assert_eq!(toward(target, side(2, 0), side(3, 0), bounds), Counts { candidate: 2, live: 1 });
    }

    proptest! {
        #[test]
        fn every_split_is_within_bounds(replicas in 1u32..200, weight in 1u8..100, surge: bool) {
            let got = split(replicas, weight, surge);
            prop_assert!(got.total() == replicas || (surge && got.total() == replicas + 1));
            if replicas > 1 || surge {
                prop_assert!(got.candidate > 0 && got.live > 0, "{got:?}");
            }
        }

        #[test]
        fn a_larger_weight_never_means_fewer_candidates(replicas in 1u32..60, weight in 1u8..99, surge: bool) {
            let (a, b) = (split(replicas, weight, surge), split(replicas, weight + 1, surge));
            prop_assert!(
                u64::from(a.candidate) * u64::from(b.total()) <= u64::from(b.candidate) * u64::from(a.total()),
                "{a:?} {b:?}"
            );
        }

        #[test]
        fn moves_arrive_within_bounds(
            replicas in 1u32..40, surge in 0u32..5, unavailable in 0u32..5, weight in 0u8..=100, from in 0u8..=100,
        ) {
            let bounds = Bounds::new(replicas, surge, unavailable);
            let target = split(replicas, weight, surge > 0);
            prop_assert_eq!(walk(target, split(replicas, from, surge > 0), bounds), target);
        }
    }
}
