//! The options of lessons whose workers may be on other hosts.

use pool_demo::Launcher;
use std::path::PathBuf;

/// Where the workers are.
#[derive(clap::Args)]
#[command(next_help_heading = "Workers elsewhere")]
pub struct Elsewhere {
    /// Start each worker with these words before its command line: 'srun -Q --overlap
    /// -N1 -n1', 'ssh host', 'docker exec -i container'
    #[arg(long, value_name = "WORDS", value_parser = Launcher::new)]
    launcher: Option<Launcher>,
    /// Where this program lies over there, if that is elsewhere than here
    #[arg(long, value_name = "PATH", requires = "launcher")]
    worker_program: Option<PathBuf>,
}

impl Elsewhere {
    /// Who starts the workers, if it is not the pool itself.
    pub fn launcher(&self) -> Option<Launcher> {
        let launcher = self.launcher.clone()?;
        Some(match &self.worker_program {
            Some(path) => launcher.worker_program(path.clone()),
            None => launcher,
        })
    }
}
