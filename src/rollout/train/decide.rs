//! What a train does next: where its cars are in, orders out. Pure.

/// Where a car is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Not begun.
    Waiting,
    /// On its way to the barrier; nothing that lasts has happened.
    Rolling,
    /// At the barrier: its candidate has passed all that comes before it takes over.
    Barrier,
    /// Let go, and not yet healthy.
    Leaving,
    /// Its new version serves; there is one to go back to.
    Arrived,
    /// Nothing to do and nothing to take back: unchanged, or a first deploy.
    Settled,
    /// Refused, or it could not begin.
    Refused,
    /// On its way back, because another was refused.
    Returning,
    Back,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Begin(usize),
    /// Past the barrier.
    Leave(usize),
    /// Abort where it is under way, undo where it has arrived.
    Return(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Do(Vec<Order>),
    /// Something is under way.
    Wait,
    Arrived,
    /// All are back that can go back.
    TakenBack,
}

/// `needs[i]` are the cars that car `i` depends on; the order of the cars respects them.
pub fn decide(needs: &[Vec<usize>], cars: &[Place]) -> Decision {
    use Place::{Arrived, Back, Barrier, Leaving, Refused, Returning, Rolling, Settled, Waiting};
    let any = |places: &[Place]| cars.iter().any(|c| places.contains(c));
    if any(&[Refused, Returning, Back]) {
        if any(&[Returning]) {
            return Decision::Wait;
        }
        let last = cars.iter().rposition(|c| matches!(c, Rolling | Barrier | Leaving | Arrived));
        return last.map_or(Decision::TakenBack, |at| Decision::Do(vec![Order::Return(at)]));
    }
    if !any(&[Waiting, Rolling, Barrier, Leaving]) {
        return Decision::Arrived;
    }
    let all = |at: usize, places: &[Place]| needs[at].iter().all(|n| places.contains(&cars[*n]));
    let open = !any(&[Waiting, Rolling]);
    let orders: Vec<Order> = (0..cars.len())
        .filter_map(|at| match cars[at] {
            Waiting if all(at, &[Barrier, Leaving, Arrived, Settled]) => Some(Order::Begin(at)),
            Barrier if open && all(at, &[Arrived, Settled]) => Some(Order::Leave(at)),
            Waiting | Rolling | Barrier | Leaving | Arrived | Settled | Refused | Returning | Back => None,
        })
        .collect();
    if orders.is_empty() { Decision::Wait } else { Decision::Do(orders) }
}
