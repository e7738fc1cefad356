//! Where the cars are in, orders out: a table, and trains of four under every luck.

use proptest::prelude::*;

use super::Place::{Arrived, Back, Barrier, Leaving, Refused, Returning, Rolling, Settled, Waiting};
use super::{Decision, Order, Place, decide};

fn chain() -> Vec<Vec<usize>> {
    vec![vec![], vec![0], vec![1]]
}

#[test]
fn orders() {
    use Decision::{Do, TakenBack, Wait};
    use Order::{Begin, Leave, Return};
    let free = vec![vec![]; 3];
    for (needs, cars, expected) in [
        (&free, [Waiting, Waiting, Waiting], Do(vec![Begin(0), Begin(1), Begin(2)])),
        (&chain(), [Waiting, Waiting, Waiting], Do(vec![Begin(0)])),
        (&chain(), [Barrier, Waiting, Waiting], Do(vec![Begin(1)])),
        (&free, [Barrier, Rolling, Barrier], Wait),
        (&free, [Barrier, Barrier, Barrier], Do(vec![Leave(0), Leave(1), Leave(2)])),
        (&chain(), [Barrier, Barrier, Barrier], Do(vec![Leave(0)])),
        (&chain(), [Leaving, Barrier, Barrier], Wait),
        (&chain(), [Arrived, Barrier, Barrier], Do(vec![Leave(1)])),
        (&chain(), [Arrived, Arrived, Arrived], Decision::Arrived),
        (&chain(), [Settled, Settled, Settled], Decision::Arrived),
        // Refused: the last goes back first, one after the other, however far it came.
        (&free, [Barrier, Rolling, Refused], Do(vec![Return(1)])),
        (&free, [Barrier, Returning, Refused], Wait),
        (&free, [Arrived, Back, Refused], Do(vec![Return(0)])),
        (&free, [Refused, Arrived, Leaving], Do(vec![Return(2)])),
        (&free, [Back, Settled, Refused], TakenBack),
        (&free, [Waiting, Waiting, Refused], TakenBack),
    ] {
        assert_eq!(decide(needs, &cars), expected, "{cars:?}");
    }
}

/// What may become of a car, by a throw.
fn luck(place: Place, throw: u8) -> Place {
    match (place, throw % 8) {
        (Rolling | Leaving | Barrier, 0) => Refused,
        (Rolling, 1) => Settled,
        (Rolling, 2..=4) => Barrier,
        (Leaving, 1..=4) => Arrived,
        (Returning, 0..=5) => Back,
        (same, _) => same,
    }
}

/// Carries an order out, and judges it by what the cars are at then.
fn obey(order: Order, needs: &[Vec<usize>], cars: &mut [Place], returned: &mut Vec<usize>) {
    match order {
        Order::Begin(i) => {
            assert!(needs[i].iter().all(|n| !matches!(cars[*n], Waiting | Rolling)), "{cars:?}");
            cars[i] = Rolling;
        }
        Order::Leave(i) => {
            assert!(!cars.iter().any(|c| matches!(c, Waiting | Rolling)), "not all are there: {cars:?}");
            assert!(needs[i].iter().all(|n| matches!(cars[*n], Arrived | Settled)), "{cars:?}");
            cars[i] = Leaving;
        }
        Order::Return(i) => {
            assert!(cars.contains(&Refused), "{cars:?}");
            assert!(returned.iter().all(|r| *r > i), "in reverse order: {returned:?}, then {i}");
            returned.push(i);
            cars[i] = Returning;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_car_takes_over_before_all_are_there(
        edges in proptest::collection::vec(0u8..8, 4),
        throws in proptest::collection::vec(any::<u8>(), 200),
    ) {
        let needs: Vec<Vec<usize>> = edges
            .iter()
            .enumerate()
            .map(|(at, bits)| (0..at).filter(|n| bits >> n & 1 == 1).collect())
            .collect();
        let mut cars = vec![Waiting; needs.len()];
        let mut returned = Vec::new();
        let mut throws = throws.into_iter().enumerate();
        loop {
            match decide(&needs, &cars) {
                Decision::Do(orders) => {
                    orders.into_iter().for_each(|order| obey(order, &needs, &mut cars, &mut returned));
                }
                Decision::Wait => {
                    let busy = cars.iter().any(|c| matches!(c, Rolling | Leaving | Returning));
                    assert!(busy, "nothing would ever happen: {cars:?}");
                    let Some((at, throw)) = throws.next() else { break };
                    let at = at % cars.len();
                    cars[at] = luck(cars[at], throw);
                }
                Decision::Arrived => {
                    assert!(cars.iter().all(|c| matches!(c, Arrived | Settled)), "{cars:?}");
                    break;
                }
                Decision::TakenBack => {
                    let left = [Rolling, Barrier, Leaving, Arrived, Returning];
                    assert!(!cars.iter().any(|c| left.contains(c)), "{cars:?}");
                    break;
                }
            }
        }
    }
}
