//! What an application offers to its scripts.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::fmt;

use super::answer::{Maker, settle};
use super::function::Function;
use super::{IntoValue, Script, ScriptError};
use crate::arity::HostFn;
use crate::budget::Budget;
use crate::compile::{CompileOptions, Loader, compile};
use crate::image::Image;
use crate::machine::Machine;

/// The functions that an application offers to its scripts.
///
/// `S` is the state that every script carries along: functions reach it as [`Ctx::state`](super::Ctx::state). `Q` is what scripts may
/// ask: functions registered by [`Self::register_ask`] make one, and whoever runs the script answers it.
///
/// [`Host::new`] makes one without either; `Host::<State, Request>::default()` one with both.
pub struct Host<S = (), Q = Infallible> {
    functions: Vec<Offered<S, Q>>,
}

/// A function in the host's table.
pub(super) struct Offered<S, Q> {
    pub(super) about: About,
    pub(super) body: Arc<Body<S, Q>>,
}

impl<S, Q> Clone for Offered<S, Q> {
    fn clone(&self) -> Self {
        Self { about: self.about, body: Arc::clone(&self.body) }
    }
}

/// Runs the function for the pending call of a machine, and answers the call or gives back what to ask.
type Body<S, Q> = dyn Fn(&About, &mut S, &mut Machine<'_>, &mut Vec<u8>) -> Option<Q> + Send + Sync;

/// What people may know of a function that the host offers. Its text is a call of it: `(fs/read path [limit])`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Name, arity, whether it writes, and one line of documentation.
    pub function: HostFn,
    /// Names of its parameters, as far as they were given.
    pub params: &'static [&'static str],
    /// The names that it takes as keywords, behind the others.
    pub keywords: &'static [&'static str],
    /// The capability that a script must be granted to use it; `None` when it is for every script.
    pub needs: Option<&'static str>,
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HostFn { name, arity, .. } = self.function;
        write!(f, "({name}")?;
        let most = arity.max.map_or_else(|| self.params.len().max(usize::from(arity.min)), usize::from);
        for i in 0..most {
            let (open, close) = if i < usize::from(arity.min) { ("", "") } else { ("[", "]") };
            match self.params.get(i) {
                Some(param) => write!(f, " {open}{param}{close}")?,
                None => write!(f, " {open}arg{}{close}", i + 1)?,
            }
        }
        for keyword in self.keywords {
            write!(f, " :{keyword} …")?;
        }
        f.write_str(if arity.max.is_none() && self.keywords.is_empty() { " …)" } else { ")" })
    }
}

/// Says more about a function that was just registered.
pub struct Registered<'h> {
    about: &'h mut About,
}

impl Registered<'_> {
    /// Only scripts that are granted `capability` may use it; the others do not load.
    pub fn needs(self, capability: &'static str) -> Self {
        self.about.needs = Some(capability);
        self
    }

    /// One line of documentation.
    pub fn doc(self, line: &'static str) -> Self {
        self.about.function.doc = line;
        self
    }

    /// The names of its parameters, for messages and documentation.
    pub fn params(self, names: &'static [&'static str]) -> Self {
        self.about.params = names;
        self
    }

    /// A call may change something outside the script. What that means is up to the application; images carry it.
    pub fn writes(self) -> Self {
        self.about.function.writes = true;
        self
    }

    /// Nobody but the script should see the answer. What that means is up to the application; images carry it.
    pub fn secret(self) -> Self {
        self.about.function.secret = true;
        self
    }
}

/// How a script is loaded. The default grants nothing, and has the default [`Budget`].
#[derive(Clone, Copy)]
pub struct LoadOptions<'a> {
    /// What messages call the program; a file's name, mostly. Default `script`.
    pub name: &'a str,
    /// Capabilities that the script has.
    pub grants: &'a [&'a str],
    /// Limits of each run and each call.
    pub budget: Budget,
    /// Where modules come from; without one, `require` is an error.
    pub loader: Option<&'a dyn Loader>,
}

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        Self { name: "script", grants: &[], budget: Budget::default(), loader: None }
    }
}

impl Host {
    /// A host that offers nothing yet, for scripts without state that ask nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S, Q> Default for Host<S, Q> {
    fn default() -> Self {
        Self { functions: Vec::new() }
    }
}

impl<S: 'static, Q: 'static> Host<S, Q> {
    /// Offers a function that answers at once.
    ///
    /// Its argument types say what a call may pass, and its result what the call gives; both are checked. A function of that name
    /// that was there before is replaced; one of the language's library is hidden.
    pub fn register_fn<M>(&mut self, name: &'static str, function: impl Function<S, M, Output: IntoValue>) -> Registered<'_> {
        let about = about(name, &function);
        let body = move |about: &About, state: &mut S, machine: &mut Machine<'_>, bytes: &mut Vec<u8>| {
            let answer = match function.call(state, machine) {
                Ok(output) => output.into_value(&mut Maker { machine, bytes }),
                Err((mismatch, at)) => Err(mismatch.raise(name, about.params, at).into()),
            };
            settle(answer, machine);
            None
        };
        self.register(about, Arc::new(body))
    }

    /// Offers a function that asks: what it makes of its arguments reaches whoever runs the script, who answers in his own time.
    pub fn register_ask<M>(&mut self, name: &'static str, function: impl Function<S, M, Output = Q>) -> Registered<'_> {
        let about = about(name, &function);
        let body = move |about: &About, state: &mut S, machine: &mut Machine<'_>, _: &mut Vec<u8>| {
            let asked = function.call(state, machine);
            asked.map_err(|(mismatch, at)| settle(Err(mismatch.raise(name, about.params, at).into()), machine)).ok()
        };
        self.register(about, Arc::new(body))
    }

    fn register(&mut self, about: About, body: Arc<Body<S, Q>>) -> Registered<'_> {
        self.functions.retain(|offered| offered.about.function.name != about.function.name);
        self.functions.push(Offered { about, body });
        let last = self.functions.len() - 1;
        Registered { about: &mut self.functions[last].about }
    }

    /// What the host offers, in the order of registration.
    pub fn functions(&self) -> impl ExactSizeIterator<Item = &About> {
        self.functions.iter().map(|offered| &offered.about)
    }

    /// Compiles a program against what is granted, without running anything.
    ///
    /// # Errors
    /// [`ScriptError::Refused`]: it is no program, calls what does not exist, with the wrong number of arguments, or is not granted.
    pub fn compile(&self, source: &str, options: &LoadOptions<'_>) -> Result<Image, ScriptError> {
        let (mut granted, mut denied) = (Vec::new(), Vec::new());
        for about in self.functions() {
            match about.needs.filter(|needs| !options.grants.contains(needs)) {
                Some(needs) => denied.push((about.function.name, needs)),
                None => granted.push(about.function),
            }
        }
        let hosts: &[&[HostFn]] = &[&granted];
        let compiled = CompileOptions { hosts, denied: &denied, exports: true, loader: options.loader, ..CompileOptions::default() };
        compile(source, &compiled).map_err(|error| ScriptError::refused(error, options.name, source))
    }

    /// A script of the program `source`, which is granted nothing. It has not run yet.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn load(&self, source: &str) -> Result<Script<S, Q>, ScriptError>
    where
        S: Default,
    {
        self.load_with(source, &LoadOptions::default(), S::default())
    }

    /// A script of the program `source`, with the state that it starts with. It has not run yet.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn load_with(&self, source: &str, options: &LoadOptions<'_>, state: S) -> Result<Script<S, Q>, ScriptError> {
        let image = self.compile(source, options)?;
        let named = |name: &str| self.functions.iter().find(|offered| offered.about.function.name == name).cloned();
        let functions = image.program().imports().filter_map(named).collect();
        Ok(Script::new(image, functions, source, options, state))
    }
}

fn about<S, M, F: Function<S, M>>(name: &'static str, _: &F) -> About {
    let function = HostFn { name, arity: F::arity(), writes: false, secret: false, doc: "" };
    About { function, params: &[], keywords: F::keywords(), needs: None }
}
