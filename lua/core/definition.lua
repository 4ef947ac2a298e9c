-- What a user's router, balance rule or model is defined by, so that a run can tell whether it is
-- another now: a hash of the lines of its functions and of its plain values.  It is taken when it
-- is defined: the file may be edited later.  Functions that these call are not in it.

local engine = require "switchyard.engine"
local fields = require "switchyard.core.fields"
local definition = {}

--- Of one that was typed, whose lines nobody has.
definition.TYPED = "typed"

-- The lines of a function, or nil.
local function lines_of(info)
  local text = info.source:sub(1, 1) == "@" and engine.file_read(info.source:sub(2))
  if not text then return nil end
  local lines, n = {}, 0
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    n = n + 1
    if n >= info.linedefined and n <= info.lastlinedefined then lines[#lines + 1] = line end
  end
  return table.concat(lines, "\n")
end

local function add_plain(parts, v)
  if type(v) ~= "table" then
    parts[#parts + 1] = type(v) ~= "function" and tostring(v) or nil
    return
  end
  local keys = {}
  for key in pairs(v) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, key in ipairs(keys) do
    parts[#parts + 1] = tostring(key)
    add_plain(parts, v[key])
  end
end

--- What was typed and defined something, a list of texts in their order, however much was typed
-- before (engine.chunks ends at 1 MB).
definition.chunks = {}

local function keep(text)
  local list = definition.chunks
  if text and list[#list] ~= text then list[#list + 1] = text end
end

--- What an object {route=, rows=, ...} is defined by: a hash, TYPED, or nil of the program's own.
function definition.of(spec)
  local parts, names = {}, {}
  for name, v in pairs(spec) do
    if type(v) == "function" then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local info = debug.getinfo(spec[name], "S")
    local users = fields.is_users(info)
    if users then keep(engine.chunk) end
    local text = users and lines_of(info)
    if users and not text then return definition.TYPED end
    if text then parts[#parts + 1] = ("%s = %s"):format(name, text) end
  end
  if #parts == 0 then return nil end
  add_plain(parts, spec)
  return engine.hash(table.concat(parts, "\0"))
end

--- Of definitions by what they are of, {["router 'mine'"] = hash}, which are others now than then,
-- and which may be: a text that goes on behind a reason; "" where none is.
function definition.changed(was, now)
  local list = {}
  for of, hash in pairs(now) do
    local before = was and was[of]
    local typed = hash == definition.TYPED or before == definition.TYPED
    if before and typed then
      list[#list + 1] = ("%s was typed, so whether it is the same is not known"):format(of)
    elseif before and before ~= hash then
      list[#list + 1] = ("%s is defined otherwise than then"):format(of)
    end
  end
  table.sort(list)
  return #list > 0 and "; " .. table.concat(list, "; ") or ""
end

return definition
