//! How many requests a rollout takes, and how soon a verb writes: promised figures, on a real API server.

use crate::harness::{Lab, Run, V1};

/// Writes and lists of a `-vvv` run, from the first write to the driver's word that the rollout is healthy; renewals of
/// the Lease and watches aside.
fn counted(run: &Run) -> Vec<&str> {
    let is_write = |l: &&str| !l.starts_with("GET ");
    let lines: Vec<&str> =
        run.stderr.lines().filter(|l| l.contains("://") || l.contains("is healthy")).collect();
    let first = lines.iter().position(|l| is_write(l) && l.contains("/leases/")).expect("the Lease is taken");
    let lists = |l: &str| l.starts_with("GET ") && l.contains('?') && !l.contains("watch=true");
    let lease = lines[first];
    let rest = lines[first + 1..].iter().take_while(|l| !l.contains("is healthy")).copied();
    let counted = rest.filter(|l| (is_write(l) && !l.contains("/leases/")) || lists(l));
    std::iter::once(lease).chain(counted).collect()
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_canary_of_four_pods_takes_at_most_25_requests() {
    let ns = Lab::get().namespace("budget", true);
    let text = |n: u32| {
        format!(
            "replicas: 4\nconfig: {{N: \"{n}\"}}\nrollout: {{strategy: canary, surge: 1, scaleDownDelay: 0s, \
             steps: [{{weight: 25}}, {{weight: 50}}, {{weight: 75}}]}}"
        )
    };
    let dir = ns.service("orders", &text(1));
    ns.msctl(&["deploy"]).dir(&dir).run().ok();
    // Into a slot that does not exist, and into one that holds an old version.
    for n in [2, 3] {
        ns.service("orders", &text(n));
        let run = ns.msctl(&["deploy", "--image", V1, "-vvv"]).dir(&dir).run().ok();
        let requests = counted(&run);
        // Eight changes of a number and a save after each step cannot be done without.
        assert!((13..=25).contains(&requests.len()), "{}: {requests:#?}", requests.len());
        // A thousand pods at once were more memory than all the rest.
        let mut lists = run.stderr.lines().filter(|l| l.starts_with("GET ") && l.contains("/pods?"));
        assert!(lists.clone().count() > 2, "{}", run.stderr);
        assert_eq!(lists.find(|l| !l.contains("watch=true") && !l.contains("limit=")), None);
    }
}
