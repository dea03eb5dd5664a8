//! Policies that somebody writes: definitions, initiatives, assignments and exemptions. What they refer to has to be there.

use http::Method;
use serde_json::{Value, json};

use crate::arm::answer::{ArmError, JsonResponse};
use crate::arm::call::Call;
use crate::arm::path::name_of;
use crate::arm::versions;
use crate::json::{guid, list, set, text};

/// Makes, changes or deletes what the path names.
///
/// # Errors
/// In Azure's words: what is referred to is not there, or something is missing.
pub(crate) fn write(call: &mut Call<'_>) -> Result<JsonResponse, ArmError> {
    let id = call.path.text.clone();
    match call.method {
        Method::PUT => {
            let properties = properties(call)?;
            let existed = call.world.get(&id).is_some();
            let mut written = json!({
                "id": id, "name": name_of(&id), "type": versions::spelled(&call.path.kind()), "properties": properties,
            });
            carry_identity(call, &mut written)?;
            call.put(&id, written);
            // Definitions and assignments are always said to have been made, as the API's specification has it.
            let always_made = ["policydefinitions", "policyassignments"]
                .iter()
                .any(|t| call.path.kind().ends_with(&format!("/{t}")));
            call.path_answer(if existed && !always_made { 200 } else { 201 })
        }
        Method::DELETE => Ok(call.delete()),
        _ => Err(call.no_such_method()),
    }
}

fn invalid(code: &str, said: impl Into<String>) -> ArmError {
    ArmError::new(400, code, said)
}

/// The properties of what is sent, checked by its type and with what Azure adds.
fn properties(call: &Call<'_>) -> Result<Value, ArmError> {
    let body = call.body()?;
    let mut properties = body.get("properties").cloned().unwrap_or(json!({}));
    let default = |properties: &mut Value, name: &str, value: Value| {
        if properties.get(name).is_none_or(Value::is_null) {
            set(properties, &[name], value);
        }
    };
    match call.path.types.last().map(|t| t.to_ascii_lowercase()).as_deref() {
        Some("policydefinitions") => {
            let rule = &properties["policyRule"];
            if !rule["if"].is_object() || text(rule, "/then/effect").is_empty() {
                let said = "The policy definition's rule has to have 'if', and 'then' with an effect.";
                return Err(invalid("InvalidPolicyRule", said));
            }
            default(&mut properties, "policyType", json!("Custom"));
            default(&mut properties, "mode", json!("Indexed"));
        }
        Some("policysetdefinitions") => {
            let members = list(&properties, "/policyDefinitions").to_vec();
            if members.is_empty() {
                let said = "An initiative holds at least one policy definition.";
                return Err(invalid("InvalidPolicySetDefinition", said));
            }
            let mut named = Vec::new();
            for mut member in members {
                let definition = text(&member, "/policyDefinitionId").to_owned();
                there(call, &definition, "PolicyDefinitionNotFound")?;
                default(
                    &mut member,
                    "policyDefinitionReferenceId",
                    json!(guid(&["reference", &definition])),
                );
                named.push(member);
            }
            set(&mut properties, &["policyDefinitions"], Value::Array(named));
            default(&mut properties, "policyType", json!("Custom"));
        }
        Some("policyassignments") => {
            there(
                call,
                text(&properties, "/policyDefinitionId"),
                "PolicyDefinitionNotFound",
            )?;
            set(&mut properties, &["scope"], json!(call.path.scope));
            default(&mut properties, "enforcementMode", json!("Default"));
            default(&mut properties, "notScopes", json!([]));
        }
        _ => {
            there(
                call,
                text(&properties, "/policyAssignmentId"),
                "PolicyAssignmentNotFound",
            )?;
            let category = text(&properties, "/exemptionCategory");
            if !["Waiver", "Mitigated"].contains(&category) {
                let said = format!("The exemption category '{category}' is none of Waiver, Mitigated.");
                return Err(invalid("InvalidExemptionCategory", said));
            }
        }
    }
    Ok(properties)
}

fn there(call: &Call<'_>, id: &str, code: &str) -> Result<(), ArmError> {
    match call.world.get(id) {
        Some(_) => Ok(()),
        None => Err(ArmError::new(404, code, format!("'{id}' could not be found."))),
    }
}

/// Who carries out what an assignment's policies change or deploy: they need an identity.
fn carry_identity(call: &Call<'_>, written: &mut Value) -> Result<(), ArmError> {
    if !call.path.kind().ends_with("/policyassignments") {
        return Ok(());
    }
    let body = call.body()?;
    let kind = text(&body, "/identity/type");
    let acts = |effect: &str| ["deployifnotexists", "modify"].contains(&effect.to_ascii_lowercase().as_str());
    let given = &written["properties"]["parameters"];
    let needs = super::assigned(call.world, written, given)
        .into_iter()
        .any(|(definition, _, parameters)| acts(text(&super::rule_of(definition, &parameters), "/then/effect")));
    if needs && ["", "None"].contains(&kind) {
        let said = "Policy assignments must include a 'managed identity' when assigning 'DeployIfNotExists' or 'Modify' \
                    policy definitions. Please see https://aka.ms/azurepolicyremediation for usage details.";
        return Err(invalid("ResourceIdentityRequired", said));
    }
    if kind == "SystemAssigned" {
        let principal = guid(&["identity", &call.path.text.to_lowercase()]);
        written["identity"] = json!({"type": kind, "principalId": principal, "tenantId": call.control.tenant});
        written["location"] = body.get("location").cloned().unwrap_or(Value::Null);
    }
    Ok(())
}
