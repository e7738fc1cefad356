//! When `attach --once` has done what is due, and what its leaving means. Pure.

use std::time::Duration;

use super::End;

/// What comes sooner than this, beside the router's lag, is due now.
const SOON: Duration = Duration::from_secs(10);
/// An answer may be so late.
const SLACK: Duration = Duration::from_secs(5);

/// What a run that stays no longer than it must has to know.
#[derive(Debug, Clone, Copy, Default)]
pub struct Due {
    /// The rollout's end, had the run waited for one.
    pub end: Option<End>,
    /// Only a person goes on from here; what is measured meanwhile may still take it back.
    pub person: bool,
    /// Half-way the old version may be short of traffic or pods: going back and switching are never left.
    pub bound: bool,
    /// Nothing is asked of the platform.
    pub quiet: bool,
    /// Pods are on their way.
    pub coming: bool,
    /// Until the next thing that is due; None: nothing is known to be.
    pub next: Option<Duration>,
    /// Since something was last asked of the platform, or the run began.
    pub idle: Duration,
    pub lag: Duration,
    /// Since measurements are asked for, and the longest of their intervals.
    pub asking: Option<(Duration, Duration)>,
    /// How long an answer may take that is on its way and would be asked for anew.
    pub patience: Option<Duration>,
}

/// How the run ends now; None: it stays. A measurement takes one interval from when its window opens, and whoever came
/// before took its beginning along: so two intervals are stayed for.
pub fn once(due: &Due) -> Option<End> {
    if due.end.is_some() || due.bound || !due.quiet {
        return due.end;
    }
    let settling = (due.lag * 2 + SOON).saturating_sub(due.idle);
    let slack = due.patience.unwrap_or(SLACK);
    let judging =
        due.asking.map_or(Duration::ZERO, |(since, interval)| (interval * 2 + slack).saturating_sub(since));
    let left = settling.max(judging);
    let stays = due.next.is_some_and(|next| next < left) || (due.coming && !settling.is_zero());
    (!stays).then_some(if due.person { End::Paused } else { End::Reached })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(change: impl FnOnce(&mut Due)) -> Option<End> {
        let mut due = Due { quiet: true, idle: secs(60), ..Due::default() };
        change(&mut due);
        once(&due)
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn it_stays_for_what_is_due_and_no_longer() {
        type Change = fn(&mut Due);
        let rows: [(&str, Change, bool); 17] = [
            ("nothing is due", |_| {}, false),
            ("something is asked of the platform", |d| d.quiet = false, true),
            ("on the way back", |d| d.bound = true, true),
            ("a deadline far off", |d| d.next = Some(secs(600)), false),
            ("a pause that ends soon, long after anything was done", |d| d.next = Some(secs(3)), false),
            (
                "the router's lag, just after a weight was written",
                |d| (d.idle, d.lag, d.next) = (secs(1), secs(2), Some(secs(3))),
                true,
            ),
            (
                "a lag longer than what is soon",
                |d| (d.idle, d.lag, d.next) = (secs(1), secs(30), Some(secs(60))),
                true,
            ),
            ("pods that were just asked for", |d| (d.idle, d.coming) = (secs(1), true), true),
            ("pods that do not come", |d| (d.idle, d.coming) = (secs(11), true), false),
            (
                "a window that closes in an interval",
                |d| (d.asking, d.next) = (Some((secs(0), secs(10))), Some(secs(10))),
                true,
            ),
            ("a second one", |d| (d.asking, d.next) = (Some((secs(11), secs(10))), Some(secs(9))), true),
            ("a third one", |d| (d.asking, d.next) = (Some((secs(21), secs(10))), Some(secs(10))), false),
            (
                "an answer that is awaited",
                |d| (d.asking, d.next) = (Some((secs(21), secs(10))), Some(secs(0))),
                true,
            ),
            (
                "an answer that never comes",
                |d| (d.asking, d.next) = (Some((secs(25), secs(10))), Some(secs(0))),
                false,
            ),
            (
                "an answer that would be asked for anew",
                |d| {
                    (d.asking, d.patience, d.next) =
                        (Some((secs(59), secs(0))), Some(secs(60)), Some(secs(0)));
                },
                true,
            ),
            (
                "one that takes longer than any may",
                |d| {
                    (d.asking, d.patience, d.next) =
                        (Some((secs(60), secs(0))), Some(secs(60)), Some(secs(0)));
                },
                false,
            ),
            (
                "an interval of minutes",
                |d| (d.asking, d.next) = (Some((secs(0), secs(300))), Some(secs(300))),
                true,
            ),
        ];
        for (what, change, stays) in rows {
            assert_eq!(at(change), if stays { None } else { Some(End::Reached) }, "{what}");
        }
    }

    #[test]
    fn an_end_is_told_and_so_is_who_is_waited_for() {
        for end in [End::Healthy, End::Aborted, End::Failed, End::Idle] {
            assert_eq!(at(|d| d.end = Some(end)), Some(end));
            assert_eq!(at(|d| (d.end, d.bound, d.quiet) = (Some(end), true, false)), Some(end));
        }
        assert_eq!(at(|d| d.person = true), Some(End::Paused));
        assert_eq!(at(|d| (d.person, d.quiet) = (true, false)), None, "what the pause stands on comes first");
        let judged = |since| Due { person: true, asking: Some((since, secs(10))), ..Due::default() };
        let judged = |since| Due { quiet: true, idle: secs(60), next: Some(secs(10)), ..judged(since) };
        assert_eq!(once(&judged(secs(0))), None, "a bad candidate is taken back also from a pause");
        assert_eq!(once(&judged(secs(21))), Some(End::Paused));
    }
}
