//! What programs may ask of this platform: a row each, with the capability that it needs.

use vigy_lisp::{Arity, HostFn};

/// An operation.
struct Operation {
    function: HostFn,
    /// How the capability that it needs is written; nothing when everyone may ask.
    needs: Option<&'static str>,
}

const fn read(name: &'static str, arguments: u8, needs: Option<&'static str>, doc: &'static str) -> Operation {
    Operation { function: HostFn { name, arity: Arity::exactly(arguments), writes: false, secret: false, doc }, needs }
}

const fn write(name: &'static str, arguments: u8, needs: Option<&'static str>, doc: &'static str) -> Operation {
    Operation { function: HostFn { name, arity: Arity::exactly(arguments), writes: true, secret: false, doc }, needs }
}

pub(crate) const CONFIG: &str = "computeunit/config";
pub(crate) const LIST_CLAIMS: &str = "k8s/list-pvcs";
pub(crate) const PATCH_CLAIM: &str = "k8s/patch-pvc";
pub(crate) const QUERY: &str = "prom/query";

const FILES: Option<&str> = Some("fs:PATH:r");

/// All operations. To add one, add a row.
#[rustfmt::skip]
const TABLE: &[Operation] = &[
    read(CONFIG, 0, None, "(computeunit/config): the configuration that was registered with the vigy, or nil; `current-config` decodes it"),
    read("fs/list", 1, FILES,
        "(fs/list DIR): everything beneath DIR, sorted by path: ({:path \"a/b\" :type :file|:dir|:symlink|:other :size BYTES} …)"),
    read("fs/hash", 1, FILES,
        "(fs/hash PATH): the BLAKE3 of a file; for a directory, a map of the path of each file beneath to its BLAKE3"),
    read("fs/read", 1, FILES, "(fs/read FILE): {:encoding :utf8|:base64 :content TEXT :size BYTES :hash BLAKE3}, up to 1 MiB"),
    read(LIST_CLAIMS, 1, Some("kube-pvc-list"),
        "(k8s/list-pvcs {:namespaces LIST :selector {:matchLabels MAP :matchExpressions LIST} :annotations NAMES}): \
         ({:namespace :name :resource-version :phase :request :capacity :annotations} …); no namespaces are all"),
    write(PATCH_CLAIM, 1, Some("kube-pvc-patch"),
        "(k8s/patch-pvc {:namespace :name :resource-version :request QUANTITY :annotations MAP}): one merge patch of the claim as it was \
         at that version; {:resource-version NEW}"),
    read(QUERY, 2, Some("prom-query@HOST:PORT"), "(prom/query URL PROMQL): an instant query: ({:labels MAP :value FLOAT} …)"),
];

/// The operations, for the compiler.
pub(crate) const FUNCTIONS: &[HostFn] = &{
    let mut functions = [TABLE[0].function; TABLE.len()];
    let mut index = 0;
    while index < functions.len() {
        functions[index] = TABLE[index].function;
        index += 1;
    }
    functions
};

/// How the capability is written that a program needs to call `operation`, as `kube-pvc-patch`, or `fs:PATH:r` where it names something. Nothing
/// for an operation that everyone may ask, and for one that this platform does not have.
#[must_use]
pub fn needs(operation: &str) -> Option<&'static str> {
    TABLE.iter().find(|row| row.function.name == operation)?.needs
}
