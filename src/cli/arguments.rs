//! The arguments, and the manual that `--help` prints.

use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::cli::status::Length;

/// The variable that names the configuration.
const CONFIG: &str = "PLANEKEEPER_CONFIG";

/// Keeps a Kubernetes control plane as one file says it should be.
///
/// The file holds kubeadm's own kinds: ClusterConfiguration, InitConfiguration, KubeletConfiguration,
/// KubeProxyConfiguration; an audit Policy, if you like; and PlanekeeperConfiguration for what kubeadm has no word for.
/// planekeeper compares it with what is there, makes what is missing, repairs what differs, and touches nothing else. Run
/// it as often as you like.
#[derive(Debug, Parser)]
#[command(name = "planekeeper", version, max_term_width = 100, after_long_help = MANUAL)]
pub struct Arguments {
    /// The configuration: a file, or a folder whose *.yaml, *.yml and *.json are read in the order of their names
    #[arg(
        long,
        short,
        global = true,
        value_name = "PATH",
        env = CONFIG,
        default_value = "/etc/planekeeper/"
    )]
    pub config: PathBuf,

    /// How results are printed
    #[arg(long, short, global = true, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    pub output: Format,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Arguments {
    /// Those that the process was called with. A variable that is empty is as one that is not set, as kubectl has it.
    ///
    /// # Errors
    /// What clap says to the user: of a wrong call, or what was asked for of help.
    pub fn read() -> Result<Self, clap::Error> {
        let mut command = Self::command();
        if std::env::var_os(CONFIG).is_some_and(|path| path.is_empty()) {
            command = command.mut_arg("config", |config| config.env(Resettable::Reset));
        }
        let matches = command.try_get_matches_from_mut(std::env::args_os())?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }
}

const MANUAL: &str = "\
Examples:
  planekeeper reconcile --config cluster.yaml
      make this host what the file describes, from bare to a running control plane; again: repair it
  planekeeper reconcile --config examples/single-node.yaml --root ./sandbox
      make in ./sandbox the host that the file describes; again: repair it
  planekeeper watch --config cluster.yaml
      keep this host so, whoever changes what, and follow the file
  planekeeper plan --config cluster.yaml --root ./sandbox --detailed-exitcode
      say what would change, field by field; exit with 2 if anything would
  planekeeper preflight --config cluster.yaml
      say whether this host can become that, before anything is touched
  planekeeper config validate --config cluster.yaml -o json
      every problem of a file at once, for an editor or CI

Exit codes:
   0  done, or nothing to do
   1  failed, held or refused; the host is not ready
   2  plan --detailed-exitcode only: there are changes
  64  wrong call
  75  another planekeeper works on this host
  77  not permitted
  78  the configuration is invalid, and nothing was touched

Environment:
  PLANEKEEPER_CONFIG  the configuration, where --config is not given
  NO_COLOR            set and not empty: no colour on a terminal

Files, on this host or below --root:
  /etc/kubernetes, /var/lib/kubelet   what kubeadm would make there
  /cluster                            in a sandbox: the cluster's objects, one YAML file each
  /var/lib/planekeeper                planekeeper's own: its lock, the last good configuration,
                                      the bootstrap tokens that it has made or met, the status
                                      that was last seen, and a pause
";

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the host what the configuration says, and touch nothing that is so already
    ///
    /// What is missing is made, what differs is put right, certificates that near their end are made anew. CAs, service
    /// account keys and whatever lies in the way of a file are never overwritten: planekeeper says so and leaves them.
    /// A run that was killed or failed is continued by running it again.
    Reconcile(Reconcile),

    /// Keep the host as the configuration says, until told to end
    ///
    /// Sleeps until something happens: a file, service or object of the control plane changes, the configuration changes,
    /// a certificate is due; every two minutes or so it looks all the same. What drifted is put right. Another version of
    /// the configuration is taken once it stays as it is and is valid; until then, and if it is not, the last good one
    /// stays in force. SIGHUP: look at everything now. SIGTERM: end after the current step.
    Watch(Watch),

    /// Say what reconcile would change, field by field, with its cause and its effect; write nothing
    Plan {
        /// The host.
        #[command(flatten)]
        place: Place,
        /// What counts as a warning.
        #[command(flatten)]
        ignoring: Ignoring,
        /// Exit with 2 if there are changes
        #[arg(long)]
        detailed_exitcode: bool,
    },

    /// Say whether this host can become what the configuration wants; touch nothing
    ///
    /// The checks are kubeadm's, by kubeadm's identifiers, and some that kubeadm once had. What planekeeper itself put on the
    /// host is no fault, so a host that is as configured passes. reconcile and plan make the same checks before the first
    /// change; in a sandbox (--root) there are none.
    Preflight(Ignoring),

    /// Say how the host's control plane stands: 0 where it is as configured and works, else 1
    ///
    /// Asks the planekeeper that watches the host. Where none does, it shows what was last seen, with its age, and that
    /// nobody knows what happened since.
    Status(StatusArguments),

    /// Have planekeeper watch change nothing for a while; it goes on looking, and shows what drifts
    Pause(PauseArguments),

    /// End a pause
    Resume(Place),

    /// Take this host back to bare, as kubeadm reset does: everything that runs and all data of the cluster on it go
    ///
    /// Removes this host's etcd member from its cluster, stops the kubelet, removes all Pods, and deletes static Pods,
    /// certificates and keys (those of the CAs too), kubeconfigs, the kubelet's files and etcd's data. It works without a
    /// configuration too, and on hosts that kubeadm set up. The configuration stays, and what else stays is said at the
    /// end. What failed is continued by running it again.
    Reset {
        /// Do not ask
        #[arg(long)]
        force: bool,
    },

    /// Look at the configuration alone
    #[command(subcommand)]
    Config(ConfigCommand),

    /// Container images
    #[command(subcommand)]
    Images(ImagesCommand),

    /// Certificates
    #[command(subcommand)]
    Certs(CertsCommand),

    /// Print the kubeadm commands that join nodes to the cluster; they hold a bootstrap token, which is a secret
    JoinCommand(JoinCommand),

    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// What a command works on.
#[derive(Args, Debug)]
pub struct Place {
    /// A folder that stands for the host, a sandbox: reconcile makes it if it is not there. Without it, this host
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
}

impl Place {
    /// The folder, or the root of this host.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.root.as_deref().unwrap_or(Path::new("/"))
    }
}

/// Preflight checks that are not to stop a run.
#[derive(Args, Debug)]
pub struct Ignoring {
    /// Preflight checks whose errors count as warnings, besides those of InitConfiguration; all is every one
    #[arg(long, value_name = "CHECKS", value_delimiter = ',')]
    pub ignore_preflight_errors: Vec<String>,
}

/// What `reconcile` takes.
#[derive(Args, Debug)]
pub struct Reconcile {
    /// The host.
    #[command(flatten)]
    pub place: Place,
    /// What counts as a warning.
    #[command(flatten)]
    pub ignoring: Ignoring,
    /// Change a control plane that planekeeper did not set up; without it, such a one is only taken over as it is
    #[arg(long)]
    pub adopt: bool,
    /// Upload the certificates that another control plane needs, encrypted and for two hours, and print the command it joins by
    #[arg(long)]
    pub upload_certs: bool,
    /// End when the Pods of CoreDNS and kube-proxy are ready, and not before
    #[arg(long)]
    pub wait: bool,
}

/// What `watch` takes.
#[derive(Args, Debug)]
pub struct Watch {
    /// The host.
    #[command(flatten)]
    pub place: Place,
    /// Change a control plane that planekeeper did not set up; without it, such a one is only taken over as it is
    #[arg(long)]
    pub adopt: bool,
    /// How the log is written to standard error, a line a decision
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What `status` takes.
#[derive(Args, Debug)]
pub struct StatusArguments {
    /// The host.
    #[command(flatten)]
    pub place: Place,
    /// Wait until the control plane is as configured and works
    #[arg(long)]
    pub wait: bool,
    /// How long to wait at most
    #[arg(long, value_name = "DURATION", default_value = "5m", requires = "wait")]
    pub timeout: Length,
}

/// What `pause` takes.
#[derive(Args, Debug)]
pub struct PauseArguments {
    /// The host.
    #[command(flatten)]
    pub place: Place,
    /// Why, for whoever wonders
    #[arg(long, value_name = "TEXT", value_parser = one_line)]
    pub reason: String,
    /// For how long; without it, until planekeeper resume
    #[arg(long = "for", value_name = "DURATION")]
    pub length: Option<Length>,
}

/// A text that can be shown wherever a line can be.
fn one_line(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("it is empty: say why".to_owned()),
        text if text.chars().any(char::is_control) => {
            Err("it has a line break or another control character in it".to_owned())
        }
        text => Ok(text.to_owned()),
    }
}

/// What `join-command` takes.
#[derive(Args, Debug)]
pub struct JoinCommand {
    /// The host.
    #[command(flatten)]
    pub place: Place,
    /// The key of certificates that were uploaded, for a control plane to join without having them copied to it
    #[arg(long, value_name = "KEY")]
    pub certificate_key: Option<String>,
}

/// Commands about the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the configuration with every default filled in
    Print,
    /// Check the configuration, and print every problem with its file, line and field
    Validate,
    /// Print the configuration in kubeadm's newest stable version, v1beta4
    Migrate,
}

/// Commands about images.
#[derive(Debug, Subcommand)]
pub enum ImagesCommand {
    /// List the images that the configuration needs
    List,

    /// Say which of them the container runtime of this host has, and exit with 1 if any is missing
    Check,

    /// Have the container runtime of this host pull them, as the configuration's imagePullPolicy says
    ///
    /// What is missing is pulled; with the policy Always all of them are pulled again, with Never none is, and what is
    /// missing is said. They are pulled one after the other, or at once where imagePullSerial is false. The runtime
    /// pulls, with the mirrors and passwords of its own configuration. What may pass, such as a registry that is down,
    /// is tried up to five times, with waits between; what cannot pass is said at once. Neither stops another image.
    Pull,
}

/// Commands about certificates.
#[derive(Debug, Subcommand)]
pub enum CertsCommand {
    /// List certificates, when they end and when they are renewed
    List(Place),
}
