-- How an InferenceService is, for Argo CD: its conditions Ready and Stalled say it, once they speak of this very generation.
local conditions = {}
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    conditions[condition.type] = condition
  end
end

local ready = conditions["Ready"]
if ready == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "the operator has not seen this generation yet"}
end

local message = ready.reason .. ": " .. ready.message
if ready.status == "True" then
  return {status = "Healthy", message = message}
end
if ready.reason == "Suspended" or ready.reason == "ScaledToZero" then
  return {status = "Suspended", message = message}
end
if conditions["Stalled"] ~= nil and conditions["Stalled"].status == "True" then
  return {status = "Degraded", message = message}
end
return {status = "Progressing", message = message}
