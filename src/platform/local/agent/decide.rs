//! What to start and stop so that a slot becomes what it should be: a Deployment's rolling update, as a pure function.

/// What a slot should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    replicas: u32,
    surge: u32,
    unavailable: u32,
}

impl Want {
    /// With neither surge nor unavailable nothing could ever be replaced, so one may be unavailable.
    pub fn new(replicas: u32, surge: u32, unavailable: u32) -> Self {
        let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
        Want { replicas, surge, unavailable }
    }
}

/// A replica that is not stopping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub name: String,
    /// Of the present template and generation.
    pub present: bool,
    pub ready: bool,
    pub available: bool,
}

/// How many to start, and which to stop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acts {
    pub start: u32,
    pub stop: Vec<String>,
}

/// Replicas in `seen` are oldest first; of equals the youngest is stopped.
pub fn decide(want: Want, seen: &[Seen]) -> Acts {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let mut present: Vec<&Seen> = seen.iter().filter(|s| s.present).collect();
    let mut old: Vec<&Seen> = seen.iter().filter(|s| !s.present).collect();
    // Those that serve stay longest.
    let worst_last = |s: &&Seen| (!s.available, !s.ready);
    present.sort_by_key(worst_last);
    old.sort_by_key(worst_last);
    let mut acts = Acts::default();
    while count(present.len()) > want.replicas {
        acts.stop.extend(present.pop().map(|s| s.name.clone()));
    }
    let total = count(present.len() + old.len());
    acts.start =
        (want.replicas - count(present.len())).min((want.replicas + want.surge).saturating_sub(total));
    if want.replicas == 0 {
        acts.stop.extend(old.iter().rev().map(|s| s.name.clone()));
        return acts;
    }
    let floor = want.replicas.saturating_sub(want.unavailable);
    let unavailable_present = count(present.iter().filter(|s| !s.available).count());
    // Unhealthy ones first: they serve nobody, yet those that are still coming must be counted out.
    let mut may_stop = total.saturating_sub(floor).saturating_sub(unavailable_present);
    while may_stop > 0 && old.last().is_some_and(|s| !s.available) {
        acts.stop.extend(old.pop().map(|s| s.name.clone()));
        may_stop -= 1;
    }
    let available = count(present.iter().chain(&old).filter(|s| s.available).count());
    let mut spare = available.saturating_sub(floor).min(may_stop);
    while spare > 0 && old.last().is_some_and(|s| s.available) {
        acts.stop.extend(old.pop().map(|s| s.name.clone()));
        spare -= 1;
    }
    acts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `N` present available, `n` present not, `O` old available, `o` old not.
    fn seen(picture: &str) -> Vec<Seen> {
        picture
            .chars()
            .enumerate()
            .map(|(i, c)| Seen {
                name: format!("{c}{i}"),
                present: c.eq_ignore_ascii_case(&'n'),
                ready: c.is_uppercase(),
                available: c.is_uppercase(),
            })
            .collect()
    }

    #[test]
    fn rolling_moves_within_surge_and_unavailable() {
        // replicas, surge, unavailable, picture → start, stopped
        type Row = (u32, u32, u32, &'static str, u32, &'static [&'static str]);
        let table: &[Row] = &[
            (3, 1, 0, "", 3, &[]),
            (3, 1, 0, "NNN", 0, &[]),
            (3, 1, 0, "OOO", 1, &[]),
            (3, 1, 0, "OOOn", 0, &[]),
            (3, 1, 0, "OOON", 0, &["O2"]),
            (3, 1, 0, "OON", 1, &[]),
            (3, 1, 0, "ONNN", 0, &["O0"]),
            (3, 0, 1, "OOO", 0, &["O2"]),
            (3, 0, 1, "OO", 1, &[]),
            (3, 0, 1, "OOn", 0, &[]),
            (1, 0, 0, "O", 0, &["O0"]),
            (1, 1, 0, "o", 1, &[]),
            (1, 1, 0, "oN", 0, &["o0"]),
            (3, 1, 0, "ooo", 1, &[]),
            (3, 1, 0, "oOON", 0, &["o0"]),
            (1, 1, 0, "NNN", 0, &["N2", "N1"]),
            (2, 1, 0, "NnN", 0, &["n1"]),
            (0, 1, 0, "NO", 0, &["N0", "O1"]),
            (5, 2, 1, "OOOOO", 2, &["O4"]),
        ];
        for (replicas, surge, unavailable, picture, start, stop) in table {
            let acts = decide(Want::new(*replicas, *surge, *unavailable), &seen(picture));
            assert_eq!(
                (acts.start, acts.stop),
                (*start, stop.iter().map(|s| s.to_string()).collect()),
                "{picture}"
            );
        }
    }

    proptest! {
        /// Whatever happens on the way, it ends with the wanted number of the present template, and neither
        /// goes above surge nor, once it served, below unavailable.
        #[test]
        fn it_arrives_and_stays_within_bounds(
            replicas in 0u32..7, surge in 0u32..3, unavailable in 0u32..3, start in "[O]{0,7}",
            order in proptest::collection::vec(0usize..8, 200),
        ) {
            let want = Want::new(replicas, surge, unavailable);
            let mut world = seen(&start);
            let served = world.len() as u32 >= replicas;
            let most = (replicas + surge).max(world.len() as u32);
            let mut next = 100;
            for pick in order {
                let acts = decide(want, &world);
                world.retain(|s| !acts.stop.contains(&s.name));
                for _ in 0..acts.start {
                    next += 1;
                    world.push(Seen { name: format!("n{next}"), present: true, ready: false, available: false });
                }
                prop_assert!(world.len() as u32 <= most);
                let available = world.iter().filter(|s| s.available).count() as u32;
                prop_assert!(!served || available >= replicas.saturating_sub(want.unavailable));
                let coming: Vec<usize> = (0..world.len()).filter(|i| !world[*i].available).collect();
                if !coming.is_empty() {
                    let i = coming[pick % coming.len()];
                    (world[i].ready, world[i].available) = (true, true);
                }
            }
            prop_assert!(world.iter().all(|s| s.present && s.available));
            prop_assert_eq!(world.len() as u32, replicas);
        }
    }
}
