//! planekeeper: one file says what a Kubernetes control plane should be, and planekeeper makes it true.
//!
//! This is the crate behind the command of that name. What follows is a tour of its modules, in the way that the data takes; the rules
//! that are not in one place are in `ARCHITECTURE.md`.
//!
//! # From a file to a `Cluster`
//!
//! [`config`] cuts files into documents, checks each against the schema of its Rust type, fills in kubeadm's defaults and validates the
//! whole. It says every [`problem`] at once, each with its file and line. What comes out is a [`cluster::Cluster`], which is always
//! valid: nobody behind this point checks anything again. [`versions`] is the table of what each Kubernetes release needs, [`quantity`] the
//! spelling of resource quantities, [`images`] the names of images.
//!
//! # From a `Cluster` to what is wanted
//!
//! [`desired::desired`] is a pure function that cannot fail: the cluster and the [`facts`] of the host, as a list of
//! [`resource::Resource`]s. Each component is one file there. A resource has an id, one of a few kinds (a folder, a file, a
//! certificate, an API object, ...), and the ids of those that it needs. A key or certificate is wanted by what must hold of it, never as
//! bytes. [`patch`] applies the user's patches, [`yaml`] writes as Kubernetes' own tools write.
//!
//! # From a host to a plan
//!
//! A [`host::Host`] reads every resource once a pass, into [`observed`]: seen, absent, or unknown with the reason. [`diff`] judges each
//! resource, which gives a [`verdict`]. [`plan`] makes of the verdicts the steps, in an order that respects needs, and says of each why
//! it is done (a line of the configuration, drift, age, another version) and what it restarts. What must not be done is in the plan too:
//! held, refused, or forbidden by [`guard`], which knows the changes that would destroy a cluster. All of it is pure. [`record`] keeps the
//! last good configuration, by which drift is told from a change of the configuration.
//!
//! # From a plan to a host that is so
//!
//! [`engine::reconcile`] applies the steps, each as soon as what it needs is there, waits until they are durable, and looks again: until
//! nothing is left to do, nothing can be done, or the bound on passes is met. It is the only caller of [`host::Host::apply`]. A driver in
//! [`host`] acts and judges nothing; today's is [`host::sandbox`], a folder that stands for a host, over a [`host::files::FileSystem`]
//! that is a disk or, for tests and for plans of what is not there yet, memory. [`pki`] and [`kubeconfig`] make and read keys,
//! certificates and kubeconfigs over bytes.
//!
//! # Before the first change
//!
//! [`preflight`] is kubeadm's checks of a host, each a small pure function over what a [`preflight::machine::Machine`] answers;
//! [`host::preflight`] is this machine, and runs them side by side.
//!
//! # That it stays so
//!
//! [`watch`] sleeps until something wakes it, a file, an object, a signal, a clock, and then does the same as one run. What it decides,
//! when to act, when to take another version of the configuration, when to leave something alone, are small machines over a given time.
//!
//! # Back to bare
//!
//! [`reset`] says, from what was found on a host, what a reset does and in which order; [`host::reset`] looks and does it. It shares
//! nothing with the engine: no configuration wants a bare host, and a host may be reset without one.
//!
//! # What people see
//!
//! [`cli`] is the command line: arguments, exit codes, text and JSON. [`certs`] is the list of `certs list`; [`table`] sets out tables.
//! [`status`] is how a control plane stands, as one value, and what is made of it: conditions, text, metrics, a page, an object in the
//! cluster.
//!
//! # Where to begin
//!
//! To change what a component looks like: its file in [`desired`], then the goldens. To support a new release: begin with a
//! row in [`versions`]. To add a component: a file in [`desired`]. To add a kind of resource: a variant of [`resource::Spec`], and the compiler
//! names the places that must say what it means.

pub mod calendar;
pub mod certs;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod desired;
pub mod diff;
pub mod engine;
pub mod facts;
pub mod followed;
pub mod guard;
pub mod host;
pub mod images;
pub mod kubeconfig;
pub mod observed;
pub mod origin;
pub mod patch;
pub mod pki;
pub mod plan;
pub mod preflight;
pub mod problem;
pub mod quantity;
pub mod record;
pub mod reset;
pub mod resource;
pub mod rollout;
pub mod sources;
pub mod status;
pub mod system_folders;
pub mod table;
pub mod verdict;
pub mod versions;
pub mod watch;
pub mod yaml;
