//! Which hosts may be contacted at all. Pure.

/// Whether `fqdn` is a well-formed name strictly below one of the suffixes, label by label and in any case.
pub(crate) fn allows(suffixes: &[String], fqdn: &str) -> bool {
    let name = fqdn.to_ascii_lowercase();
    is_host_name(&name)
        && suffixes.iter().any(|suffix| {
            let suffix = suffix.trim_start_matches('.').to_ascii_lowercase();
            !suffix.is_empty()
                && name
                    .strip_suffix(&suffix)
                    .is_some_and(|head| head.len() > 1 && head.ends_with('.'))
        })
}

fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suffixes() -> Vec<String> {
        [
            "api.azureml.ms",
            "experiments.azureml.net",
            "blob.core.windows.net",
            "dfs.core.windows.net",
            "azurecr.io",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    #[test]
    fn names_below_a_suffix_are_contacted() {
        for fqdn in [
            "0b1c.registry.westeurope.api.azureml.ms",
            "cert-westeurope.experiments.azureml.net",
            "StContoso.Blob.Core.Windows.Net",
            "stcontoso.dfs.core.windows.net",
            "crcontoso.azurecr.io",
            "crcontoso.westeurope.data.azurecr.io",
        ] {
            assert!(allows(&suffixes(), fqdn), "{fqdn}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for fqdn in [
            "",
            "azurecr.io",
            ".azurecr.io",
            "evilazurecr.io",
            "crcontoso.azurecr.cn",
            "stcontoso.blob.core.usgovcloudapi.net",
            "crcontoso.azurecr.io.evil.example",
            "crcontoso.azurecr.io.",
            "169.254.169.254",
            "kubernetes.default.svc",
            "a b.azurecr.io",
            "a/../.azurecr.io",
            "x@y.azurecr.io",
            "-a.azurecr.io",
            "a..azurecr.io",
        ] {
            assert!(!allows(&suffixes(), fqdn), "{fqdn}");
        }
        assert!(!allows(&[], "crcontoso.azurecr.io"), "no list allows nothing");
        assert!(
            !allows(&[String::new()], "crcontoso.azurecr.io"),
            "an empty suffix allows nothing"
        );
    }
}
