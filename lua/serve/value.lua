-- Values of Lua as JSON in one line, for who is not at the prompt.
--
--   nil, booleans, numbers, strings   as JSON has them; what is not finite, which JSON has not, is
--                                     the string "nan", "inf" or "-inf"
--   a tensor                          {"shape": [2,3], "dtype": "f32", "values": [[..],[..]]}; of
--                                     more than TENSOR elements values is null; "limit" says so
--   a list, a table by names          [..], {..}; an empty one is []
--   a result of the program's that    {"list": [..], "name": ..}
--   is a list and has names
--   all else (runs, functions ...)    the string that the prompt shows
--
-- A table of one's own with both kinds of keys, one inside itself, and a result over BYTES are
-- refused.

local engine = require "switchyard.engine"
local value = {}

local TENSOR = 65536 -- elements
local DEPTH = 48     -- of 64 that a reader of ours takes
local BYTES = 8 << 20

local is_tensor = require("switchyard.tensor.compose").is_tensor

local function number(v)
  if v ~= v then return '"nan"' end
  if v == math.huge or v == -math.huge then return v > 0 and '"inf"' or '"-inf"' end
  return engine.json_scalar(v)
end

local write

local function put(out, text)
  out.bytes = out.bytes + #text
  if out.bytes > BYTES then
    engine.error(("the result is longer than %d bytes; ask for less of it"):format(BYTES))
  end
  out[#out + 1] = text
end

local function write_list(out, v, n, place, depth)
  put(out, "[")
  for i = 1, n do
    if i > 1 then put(out, ",") end
    write(out, v[i], ("%s[%d]"):format(place, i), depth)
  end
  put(out, "]")
end

local function write_tensor(out, x, place, depth)
  local count = 1
  for _, n in ipairs(x.shape) do count = count * n end
  put(out, '{"shape":')
  write_list(out, x.shape, #x.shape, place, depth)
  put(out, ',"dtype":' .. engine.json_scalar(tostring(x.dtype)) .. ',"values":')
  if count > TENSOR then
    put(out, ('null,"limit":%d}'):format(TENSOR))
    return
  end
  write(out, #x.shape == 0 and x:item() or x:table(), place, depth)
  put(out, "}")
end

local function write_object(out, v, place, depth)
  local names = {}
  for k in next, v do
    if type(k) ~= "string" then
      engine.error(("%s cannot be JSON: it has the key %s beside names, or is a list with holes")
        :format(place, tostring(k)))
    end
    names[#names + 1] = k
  end
  table.sort(names)
  put(out, "{")
  for i, k in ipairs(names) do
    put(out, (i > 1 and "," or "") .. engine.json_scalar(k) .. ":")
    write(out, v[k], place .. "." .. k, depth)
  end
  put(out, "}")
end

-- A table that is no more than what it holds; not an object with fields of its own making.
local function is_plain(v)
  local meta = debug.getmetatable(v)
  return not meta or not rawget(meta, "__index") or rawlen(v) > 0
end

-- {list = what is counted, name = ...} of a table of both.
local function with_list(v, n)
  local out = {list = table.move(v, 1, n, 1, {})}
  for k, x in next, v do
    if math.type(k) ~= "integer" or k < 1 or k > n then out[k] = x end
  end
  return out
end

local function write_table(out, v, place, depth)
  if depth > DEPTH then
    engine.error(("%s cannot be JSON: it is over %d tables deep, or inside itself"):format(place,
      DEPTH))
  end
  local n = rawlen(v)
  if next(v) == nil then put(out, "[]") return end
  local entries = 0
  for _ in next, v do entries = entries + 1 end
  if n > 0 and n == entries then write_list(out, v, n, place, depth + 1)
  elseif n > 0 and debug.getmetatable(v) then
    write_object(out, with_list(v, n), place, depth + 1)
  else write_object(out, v, place, depth + 1) end
end

function write(out, v, place, depth)
  local kind = type(v)
  if v == nil or v == engine.null then put(out, "null")
  elseif kind == "number" then put(out, number(v))
  elseif kind == "string" or kind == "boolean" then put(out, engine.json_scalar(v))
  elseif is_tensor(v) then write_tensor(out, v, place, depth + 1)
  elseif kind == "table" and is_plain(v) then write_table(out, v, place, depth)
  else put(out, engine.json_scalar(tostring(v))) end
end

--- value.text(v, name) -> text without a newline; raises for what cannot be JSON, by its name
function value.text(v, name)
  local out = {bytes = 0}
  write(out, v, name or "the result", 0)
  return table.concat(out)
end

return value
