-- Tables as JSON.  Reading is engine.json(text), which keeps integers and reals apart; null is
-- engine.null.

local engine = require "switchyard.engine"
local json = {}

-- A table with elements 1..n is a list; an empty one too, if it is this one.
json.empty_list = {}

local write

local function write_list(v, indent)
  local parts = {}
  for i, x in ipairs(v) do parts[i] = write(x, indent) end
  return "[" .. table.concat(parts, ", ") .. "]"
end

local function write_object(keys, v, indent)
  local parts, deeper = {}, indent .. "  "
  for i, k in ipairs(keys) do
    parts[i] = deeper .. engine.json_scalar(k) .. ": " .. write(v[k], deeper)
  end
  return "{\n" .. table.concat(parts, ",\n") .. "\n" .. indent .. "}"
end

function write(v, indent)
  if rawequal(v, engine.null) then return "null" end
  if type(v) ~= "table" then
    if v ~= v or v == math.huge or v == -math.huge then v = tostring(v) end
    return engine.json_scalar(v)
  end
  if rawequal(v, json.empty_list) then return "[]" end
  if #v > 0 then return write_list(v, indent) end
  local keys = {}
  for k in pairs(v) do keys[#keys + 1] = k end
  table.sort(keys)
  return #keys == 0 and "{}" or write_object(keys, v, indent)
end

--- json.text(v) -> text, indented, keys in order; what is not finite becomes a string
function json.text(v) return write(v, "") end

--- json.plain(v, what, name) -> a copy that JSON can hold; raises "WHAT cannot hold NAME.FIELD:
-- ..." for what it cannot
function json.plain(v, what, name)
  local kind = type(v)
  if kind == "table" then
    local out, n = {}, #v
    for k, x in pairs(v) do
      local in_list = math.type(k) == "integer" and k >= 1 and k <= n
      local by_name = type(k) == "string" and n == 0
      if not in_list and not by_name then
        engine.error(("%s cannot hold %s: neither a list nor fields by names"):format(what, name))
      end
      out[k] = json.plain(x, what, name .. "." .. k)
    end
    return out
  end
  if kind ~= "number" and kind ~= "string" and kind ~= "boolean" then
    engine.error(("%s cannot hold %s: it is a %s"):format(what, name, kind))
  end
  return v
end

return json
