//! What a program can print: all orders in which its processes may run.

use super::program::{Instruction, Program};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The most outputs that are counted.
pub const MOST: u64 = 1_000_000;
/// The most sets of states that are looked at.
const MOST_SETS: usize = 20_000;

/// A process: where it stands, and its children. One that has ended and was not waited
/// for is a zombie, and stands nowhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Process {
    at: Option<usize>,
    children: Vec<Process>,
}

/// The processes that have no parent among them, each with its descendants, in order:
/// which of two like processes is which does not matter.
type State = Vec<Process>;

/// The states in which the program may be after it has printed so much.
type States = BTreeSet<State>;

/// The outputs that a program can have.
pub struct Outputs<'a> {
    program: &'a Program,
}

impl<'a> Outputs<'a> {
    /// Those of `program`.
    pub fn of(program: &'a Program) -> Self {
        Self { program }
    }

    /// Whether the program can print just this.
    pub fn contains(&self, output: &str) -> bool {
        let mut states = self.begin();
        for letter in output.chars() {
            match self.after_one(&states).remove(&letter) {
                Some(next) => states = next,
                None => return false,
            }
        }
        self.after_one(&states).is_empty()
    }

    /// How many there are; `None` if that is more than [`MOST`], or too much to count.
    pub fn count(&self) -> Option<u64> {
        self.count_from(&self.begin(), &mut HashMap::new())
    }

    /// How many letters each of them has.
    pub fn lines(&self) -> usize {
        let mut states = self.begin();
        let mut lines = 0;
        while let Some((_, next)) = self.after_one(&states).pop_first() {
            states = next;
            lines += 1;
        }
        lines
    }

    /// Whether the letter can be printed before any A is.
    pub fn can_come_before_a(&self, letter: char) -> bool {
        let mut seen = BTreeSet::new();
        let mut to_do = vec![self.begin()];
        while let Some(states) = to_do.pop() {
            for (printed, next) in self.after_one(&states) {
                if printed == letter {
                    return true;
                }
                if printed != 'A' && seen.len() < MOST_SETS && seen.insert(next.clone()) {
                    to_do.push(next);
                }
            }
        }
        false
    }

    fn begin(&self) -> States {
        let first = Process {
            at: Some(0),
            children: Vec::new(),
        };
        BTreeSet::from([self.settle(vec![first])])
    }

    fn count_from(&self, states: &States, known: &mut HashMap<States, u64>) -> Option<u64> {
        if let Some(count) = known.get(states) {
            return Some(*count);
        }
        let after = self.after_one(states);
        let mut count = u64::from(after.is_empty());
        for next in after.values() {
            count += self.count_from(next, known)?;
            if count > MOST || known.len() > MOST_SETS {
                return None;
            }
        }
        known.insert(states.clone(), count);
        Some(count)
    }

    /// For each letter that may be printed next the states afterwards.
    fn after_one(&self, states: &States) -> BTreeMap<char, States> {
        let mut after: BTreeMap<char, States> = BTreeMap::new();
        for state in states {
            for (letter, next) in self.prints(state) {
                after.entry(letter).or_default().insert(self.settle(next));
            }
        }
        after
    }

    /// Each process that stands at a print prints.
    fn prints(&self, processes: &[Process]) -> Vec<(char, Vec<Process>)> {
        let mut all = Vec::new();
        for (index, process) in processes.iter().enumerate() {
            let mut with = |letter, process| {
                let mut next = processes.to_vec();
                next[index] = process;
                all.push((letter, next));
            };
            let print = process.at.map(|at| self.program.instruction(at));
            if let Some(Instruction::Print(letter)) = print {
                let at = process.at.map(|at| at + 1);
                with(
                    letter,
                    Process {
                        at,
                        ..process.clone()
                    },
                );
            }
            for (letter, children) in self.prints(&process.children) {
                with(
                    letter,
                    Process {
                        children,
                        ..process.clone()
                    },
                );
            }
        }
        all
    }

    /// Lets every process go on until it prints, waits for a child that has not ended,
    /// or has ended itself. The order does not matter: no such step keeps another
    /// process from anything.
    fn settle(&self, mut state: State) -> State {
        loop {
            let mut orphans = Vec::new();
            let changed = self.step_all(&mut state, &mut orphans);
            // Who has no parent any more is nobody's zombie.
            state.append(&mut orphans);
            state.retain(|process| process.at.is_some());
            if !changed {
                break;
            }
        }
        sort(&mut state);
        state
    }

    /// Lets each process do one step that is not a print; whether any did.
    fn step_all(&self, processes: &mut [Process], orphans: &mut Vec<Process>) -> bool {
        let mut changed = false;
        for process in processes {
            changed |= self.step_all(&mut process.children, orphans);
            let Some(at) = process.at else { continue };
            changed |= match self.program.instruction(at) {
                Instruction::Print(_) => false,
                Instruction::Fork { parent_goes_to } => {
                    process.children.push(Process {
                        at: Some(at + 1),
                        children: Vec::new(),
                    });
                    process.at = Some(parent_goes_to);
                    true
                }
                Instruction::Wait => {
                    let zombie = process.children.iter().position(|child| child.at.is_none());
                    if let Some(zombie) = zombie {
                        process.children.remove(zombie);
                    }
                    let returns = zombie.is_some() || process.children.is_empty();
                    process.at = Some(at + usize::from(returns));
                    returns
                }
                Instruction::Exit => {
                    process.at = None;
                    orphans.append(&mut process.children);
                    true
                }
            };
        }
        changed
    }
}

fn sort(processes: &mut [Process]) {
    for process in &mut *processes {
        sort(&mut process.children);
    }
    processes.sort();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All outputs, by trying every order of steps, one process at a time.
    fn all(outputs: &Outputs<'_>, states: &States, printed: &str, found: &mut BTreeSet<String>) {
        let after = outputs.after_one(states);
        if after.is_empty() {
            found.insert(printed.to_owned());
        }
        for (letter, next) in after {
            all(outputs, &next, &format!("{printed}{letter}"), found);
        }
    }

    #[test]
    fn the_count_is_that_of_all_that_are_listed_and_each_of_them_is_possible() {
        for seed in 0..50 {
            let program = Program::random(seed, 6);
            let outputs = Outputs::of(&program);
            let mut found = BTreeSet::new();
            all(&outputs, &outputs.begin(), "", &mut found);
            assert_eq!(outputs.count(), Some(found.len() as u64), "{program}");
            assert!(found.iter().all(|output| outputs.contains(output)));
            assert!(found.iter().all(|output| output.len() == outputs.lines()));
            let before = found
                .iter()
                .any(|output| output.find('B') < output.find('A'));
            assert_eq!(outputs.can_come_before_a('B'), before, "{program}");
        }
    }
}
