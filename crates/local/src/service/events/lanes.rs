//! Which event runs next: a lane for each function, and places that the lanes share.
//!
//! Holds numbers and times alone, so that many events need little memory. Never reads a clock and
//! never waits.

use std::collections::{BTreeMap, BTreeSet};

use layercake_core::aws::FunctionName;

use crate::store::Scope;

/// Whose events a lane holds.
pub(super) type Owner = (Scope, FunctionName);

/// What there is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This event may run now.
    Run(Owner, i64),
    /// None before this time, in milliseconds since 1970.
    At(i64),
    /// None until a run ends or an event comes in.
    Nothing,
}

/// All events that wait, and how many run.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: BTreeMap<Owner, Lane>,
    /// The lane that was served last; the next one is its neighbour.
    last: Option<Owner>,
    running: usize,
    places: usize,
}

#[derive(Debug, Default)]
struct Lane {
    /// By the time when they are due, and in the order in which they came in.
    waiting: BTreeSet<(i64, i64)>,
    running: usize,
    /// As many run as are reserved: the next begins when one of them has ended.
    is_full: bool,
}

impl Lanes {
    /// No events, and room for so many at once.
    pub(super) fn new(places: usize) -> Self {
        Self { lanes: BTreeMap::new(), last: None, running: 0, places }
    }

    /// Notes an event.
    pub(super) fn add(&mut self, owner: Owner, due: i64, id: i64) {
        self.lanes.entry(owner).or_default().waiting.insert((due, id));
    }

    /// The next event that may run. The functions take turns, and none runs in more places than it
    /// leaves to the others, so that one function's backlog never holds up another's.
    pub(super) fn next(&mut self, now: i64) -> Next {
        let free = self.places - self.running;
        if free == 0 {
            return Next::Nothing;
        }
        let may_run = |lane: &Lane| !lane.is_full && lane.running < free;
        let due = |lane: &Lane| lane.waiting.first().is_some_and(|(due, _)| *due <= now);
        let mut ready = self.lanes.iter().filter(|(_, lane)| may_run(lane) && due(lane));
        let first = ready.next();
        let chosen = match &self.last {
            // The first one behind the last, else the first of all.
            Some(last) => first
                .filter(|(owner, _)| *owner > last)
                .or_else(|| ready.find(|(owner, _)| *owner > last))
                .or(first),
            None => first,
        };
        if let Some((owner, lane)) = chosen
            && let Some((_, id)) = lane.waiting.first()
        {
            let (owner, id) = (owner.clone(), *id);
            self.last = Some(owner.clone());
            return Next::Run(owner, id);
        }
        let waiting = self.lanes.values().filter(|lane| may_run(lane));
        match waiting.filter_map(|lane| lane.waiting.first()).map(|(due, _)| *due).min() {
            Some(due) => Next::At(due),
            None => Next::Nothing,
        }
    }

    /// Notes that the first event of a lane runs, unless as many do as are reserved.
    pub(super) fn begin(&mut self, owner: &Owner, reserved: Option<u32>) -> bool {
        let Some(lane) = self.lanes.get_mut(owner) else { return false };
        // With none reserved the event ends at once, and takes no room of others.
        let most = reserved.filter(|most| *most > 0).map_or(usize::MAX, |most| most as usize);
        if lane.running >= most {
            lane.is_full = true;
            return false;
        }
        if lane.waiting.pop_first().is_none() {
            return false;
        }
        lane.running += 1;
        self.running += 1;
        true
    }

    /// Whether nothing runs.
    pub(super) fn is_idle(&self) -> bool {
        self.running == 0
    }

    /// Notes that a run has ended.
    pub(super) fn ended(&mut self, owner: &Owner) {
        let Some(lane) = self.lanes.get_mut(owner) else { return };
        lane.running -= 1;
        lane.is_full = false;
        self.running -= 1;
        if lane.running == 0 && lane.waiting.is_empty() {
            self.lanes.remove(owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Owner {
        let scope = Scope {
            account: "123456789012".parse().expect("an account"),
            region: "us-east-1".parse().expect("a region"),
        };
        (scope, name.parse().expect("a function name"))
    }

    /// Runs what may run at a time, and tells it as `f1 g2`; what is left is told as it is.
    fn check(lanes: &mut Lanes, now: i64) -> String {
        let mut said = Vec::new();
        loop {
            match lanes.next(now) {
                Next::Run(owner, id) => {
                    said.push(format!("{}{id}", owner.1));
                    assert!(lanes.begin(&owner, None));
                }
                rest => {
                    said.push(format!("{rest:?}"));
                    return said.join(" ");
                }
            }
        }
    }

    fn with(places: usize, events: &[(&str, i64, i64)]) -> Lanes {
        let mut lanes = Lanes::new(places);
        for (name, due, id) in events {
            lanes.add(owner(name), *due, *id);
        }
        lanes
    }

    #[test]
    fn events_run_in_the_order_in_which_they_are_due() {
        let mut lanes = with(16, &[("f", 5, 1), ("f", 5, 2), ("f", 3, 3), ("f", 9, 4)]);
        assert_eq!(check(&mut lanes, 2), "At(3)");
        assert_eq!(check(&mut lanes, 5), "f3 f1 f2 At(9)");
    }

    #[test]
    fn functions_take_turns() {
        let mut lanes = with(16, &[("f", 0, 1), ("f", 0, 2), ("f", 0, 3), ("g", 0, 4), ("h", 0, 5)]);
        assert_eq!(check(&mut lanes, 0), "f1 g4 h5 f2 f3 Nothing");
    }

    #[test]
    fn a_backlog_leaves_room() {
        let events: Vec<_> = (0..20).map(|id| ("f", 0, id)).collect();
        let mut lanes = with(8, &events);
        assert_eq!(check(&mut lanes, 0), "f0 f1 f2 f3 Nothing");
        lanes.add(owner("g"), 0, 30);
        lanes.add(owner("g"), 0, 31);
        lanes.add(owner("g"), 0, 32);
        assert_eq!(check(&mut lanes, 0), "g30 g31 Nothing");
        lanes.add(owner("h"), 0, 40);
        assert_eq!(check(&mut lanes, 0), "h40 Nothing");
        lanes.add(owner("i"), 0, 50);
        assert_eq!(check(&mut lanes, 0), "i50 Nothing");
        // Whoever has most gets no place back before the others have as many.
        lanes.ended(&owner("i"));
        lanes.ended(&owner("h"));
        lanes.ended(&owner("g"));
        assert_eq!(check(&mut lanes, 0), "g32 Nothing");
    }

    #[test]
    fn no_more_run_than_are_reserved() {
        let mut lanes = with(8, &[("f", 0, 1), ("f", 0, 2), ("g", 0, 3)]);
        assert!(lanes.begin(&owner("f"), Some(1)));
        assert!(!lanes.begin(&owner("f"), Some(1)));
        assert_eq!(check(&mut lanes, 0), "g3 Nothing");
        lanes.ended(&owner("f"));
        assert_eq!(check(&mut lanes, 0), "f2 Nothing");
        lanes.add(owner("f"), 0, 4);
        assert!(lanes.begin(&owner("f"), Some(0)));
    }

    #[test]
    fn what_has_nothing_to_do_is_forgotten() {
        let mut lanes = with(1, &[("f", 0, 1), ("g", 7, 2)]);
        assert_eq!(check(&mut lanes, 0), "f1 Nothing");
        lanes.ended(&owner("f"));
        assert_eq!(check(&mut lanes, 0), "At(7)");
        assert_eq!(lanes.lanes.len(), 1);
        assert_eq!(check(&mut lanes, 7), "g2 Nothing");
        lanes.ended(&owner("g"));
        assert!(lanes.lanes.is_empty());
        assert_eq!(lanes.running, 0);
    }
}
