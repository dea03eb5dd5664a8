-- Argo CD's health of a SecureRegistry, for `resource.customizations.health.secureregistry.dev_SecureRegistry` in argocd-cm.
-- It reads what kstatus reads: until the operator has looked at this generation nothing is known, then the conditions say.
local health = {status = "Progressing", message = "the operator has not looked at it yet"}

if obj.metadata.deletionTimestamp ~= nil then
  health.message = "it is being deleted"
end
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end

local conditions = {}
for _, condition in ipairs(obj.status.conditions or {}) do
  conditions[condition.type] = condition
end
local ready = conditions["Ready"]
if ready ~= nil then
  health.message = ready.message
end
if obj.metadata.deletionTimestamp ~= nil then
  return health
end

local stalled = conditions["Stalled"]
if stalled ~= nil and stalled.status == "True" then
  health.status = "Degraded"
  health.message = stalled.message
elseif ready ~= nil and ready.status == "True" then
  health.status = "Healthy"
end
return health
