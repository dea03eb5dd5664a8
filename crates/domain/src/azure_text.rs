//! Words of Azure's that gates read, each parsed once into a type. What this version does not know is kept as it was said and is
//! `Unknown`: never taken for the nearest known word, never closed, open or healthy.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A closed set of words with a place for others. Case does not matter to Azure, so it does not here.
macro_rules! azure_text {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
            /// A word that this version does not know, as Azure said it.
            Unknown(String),
        }

        impl $name {
            /// As Azure spells it.
            pub fn as_str(&self) -> &str {
                match self {
                    $($name::$variant => $text,)+
                    $name::Unknown(text) => text,
                }
            }

            /// Whether this version knows what it means.
            pub fn is_known(&self) -> bool {
                !matches!(self, $name::Unknown(_))
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> $name {
                $(if text.eq_ignore_ascii_case($text) {
                    return $name::$variant;
                })+
                $name::Unknown(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> $name {
                $name::from(text.as_str())
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                self.as_str()
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                String::deserialize(deserializer).map($name::from)
            }
        }
    };
}

azure_text! {
    /// `publicNetworkAccess` of a registry, a storage account or a container registry.
    PublicNetworkAccess {
        /// Whoever the rules let in comes in.
        Enabled = "Enabled",
        /// Nobody comes in but by private endpoints.
        Disabled = "Disabled",
        /// A network security perimeter decides who comes in; its rules stand elsewhere.
        SecuredByPerimeter = "SecuredByPerimeter",
    }
}

azure_text! {
    /// `defaultAction` of a rule set: what happens to those whom no rule names.
    DefaultAction {
        /// They come in.
        Allow = "Allow",
        /// They do not.
        Deny = "Deny",
    }
}

azure_text! {
    /// `policies.exportPolicy.status` of a container registry.
    ExportPolicy {
        /// Images may be exported.
        Enabled = "enabled",
        /// They may not, and public access must stay disabled.
        Disabled = "disabled",
    }
}

azure_text! {
    /// `provisioningState` of any resource.
    ProvisioningState {
        /// It is what was asked for.
        Succeeded = "Succeeded",
        /// Asked for and not begun.
        Accepted = "Accepted",
        /// Being made.
        Creating = "Creating",
        /// Being made, as some resources call it.
        Provisioning = "Provisioning",
        /// Being changed.
        Updating = "Updating",
        /// Being deleted.
        Deleting = "Deleting",
        /// Making or changing it failed.
        Failed = "Failed",
        /// Making or changing it was given up.
        Canceled = "Canceled",
    }
}

azure_text! {
    /// Status of a private endpoint's connection.
    ConnectionStatus {
        /// Clients come through.
        Approved = "Approved",
        /// The target's owner has not decided.
        Pending = "Pending",
        /// The target's owner said no.
        Rejected = "Rejected",
        /// The target's owner, or Azure, removed it.
        Disconnected = "Disconnected",
        /// The request was not answered in time.
        Timeout = "Timeout",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_known_in_any_case_and_an_unknown_one_is_kept_as_it_was_said() {
        assert_eq!(PublicNetworkAccess::from("disabled"), PublicNetworkAccess::Disabled);
        assert_eq!(PublicNetworkAccess::from("securedbyperimeter"), "SecuredByPerimeter");
        let odd = PublicNetworkAccess::from("DisabledExceptTuesdays");
        assert!(!odd.is_known());
        assert_eq!(odd.as_str(), "DisabledExceptTuesdays");
        assert_ne!(DefaultAction::from("Denyish"), DefaultAction::Deny);
        assert_eq!(ExportPolicy::from("Disabled"), ExportPolicy::Disabled);
        assert!(!ConnectionStatus::from("").is_known());
        assert_eq!(
            serde_json::to_string(&ProvisioningState::from("failed")).unwrap(),
            "\"Failed\""
        );
    }
}
