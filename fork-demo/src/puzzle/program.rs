//! The programs of the puzzle: made at random, shown as text.

use std::fmt;

/// What a process does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instruction {
    /// Prints this letter.
    Print(char),
    /// Makes a child, which runs what follows; the parent goes on elsewhere, or right
    /// there too.
    Fork { parent_goes_to: usize },
    /// Waits until some child has ended; if there is none, for nothing.
    Wait,
    /// Ends the process.
    Exit,
}

/// A program: its instructions, the last of which is an exit, and its text.
#[derive(Debug)]
pub struct Program {
    instructions: Vec<Instruction>,
    text: Vec<String>,
}

/// A line of a program, with what stands in it.
enum Statement {
    Print,
    Fork,
    /// What only the child runs first.
    InChild(Vec<Statement>),
    Wait,
    Exit,
}

impl Program {
    /// The program with this number, of `size` statements: the same one everywhere.
    /// It prints two letters at least, and forks.
    pub fn random(seed: u32, size: u16) -> Self {
        let mut random = Random(u64::from(seed));
        loop {
            let statements = random.block(size.into(), false);
            let mut program = Self {
                instructions: Vec::new(),
                text: Vec::new(),
            };
            program.add(&statements, 0);
            program.instructions.push(Instruction::Exit);
            if program.letters() >= 2 && (2..=8).contains(&program.processes(0)) {
                return program;
            }
        }
    }

    /// The instruction at this place; behind the last one every process exits.
    pub fn instruction(&self, at: usize) -> Instruction {
        let instruction = self.instructions.get(at);
        instruction.copied().unwrap_or(Instruction::Exit)
    }

    fn letters(&self) -> usize {
        let print = |instruction: &&Instruction| matches!(instruction, Instruction::Print(_));
        self.instructions.iter().filter(print).count()
    }

    /// How many processes there are in the end, if one begins at this place.
    fn processes(&self, mut at: usize) -> usize {
        let mut count = 1;
        loop {
            at = match self.instruction(at) {
                Instruction::Exit => return count,
                Instruction::Fork { parent_goes_to } => {
                    count += self.processes(at + 1);
                    parent_goes_to
                }
                _ => at + 1,
            };
        }
    }

    fn add(&mut self, statements: &[Statement], depth: usize) {
        for statement in statements {
            let at = self.instructions.len();
            let line = match statement {
                Statement::Print => {
                    let letter = ('A'..='Z').nth(self.letters()).unwrap_or('Z');
                    self.instructions.push(Instruction::Print(letter));
                    format!("print {letter}")
                }
                Statement::Fork => {
                    let parent_goes_to = at + 1;
                    self.instructions.push(Instruction::Fork { parent_goes_to });
                    "fork()".to_owned()
                }
                Statement::InChild(_) => {
                    let parent_goes_to = 0; // known when the block has its end
                    self.instructions.push(Instruction::Fork { parent_goes_to });
                    "if fork() == 0:".to_owned()
                }
                Statement::Wait => {
                    self.instructions.push(Instruction::Wait);
                    "wait()".to_owned()
                }
                Statement::Exit => {
                    self.instructions.push(Instruction::Exit);
                    "exit()".to_owned()
                }
            };
            let number = self.text.len() + 1;
            self.text
                .push(format!("{number:>2}  {:1$}{line}", "", 4 * depth));
            if let Statement::InChild(block) = statement {
                self.add(block, depth + 1);
                let parent_goes_to = self.instructions.len();
                self.instructions[at] = Instruction::Fork { parent_goes_to };
            }
        }
    }
}

/// The text of the program, one numbered statement a line.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text.join("\n"))
    }
}

/// `SplitMix64` (Steele, Lea and Flood 2014): a library may change its generator, and
/// then a seed would mean another program.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    /// `size` statements, in a child or not.
    fn block(&mut self, size: u64, in_child: bool) -> Vec<Statement> {
        let mut block = Vec::new();
        let mut left = size;
        while left > 0 {
            let may_exit = in_child && left == 1 && !block.is_empty();
            let statement = match self.below(10) {
                0..=4 => Statement::Print,
                5 => Statement::Fork,
                6 | 7 if left > 1 => {
                    let inner = 1 + self.below((left - 1).min(3));
                    left -= inner;
                    Statement::InChild(self.block(inner, true))
                }
                8 if may_exit => Statement::Exit,
                _ if block.iter().any(Statement::makes_a_child) => Statement::Wait,
                _ => continue,
            };
            left -= 1;
            block.push(statement);
        }
        block
    }
}

impl Statement {
    fn makes_a_child(&self) -> bool {
        matches!(self, Self::Fork | Self::InChild(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_program_everywhere() {
        let program = " 1  if fork() == 0:
 2      print A
 3  print B
 4  fork()
 5  wait()
 6  print C";
        assert_eq!(Program::random(7, 6).to_string(), program);
    }

    #[test]
    fn every_program_forks_prints_and_has_few_processes() {
        for seed in 0..200 {
            for size in 3..=12 {
                let program = Program::random(seed, size);
                assert_eq!(program.text.len(), usize::from(size));
                assert!(program.letters() >= 2);
                assert!((2..=8).contains(&program.processes(0)));
            }
        }
    }
}
