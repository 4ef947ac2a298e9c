-- Options tables: read(what, given, rows) checks a table of named fields against rows
--   {name, type, default, least, most, choices = {"a", "b"}, help = ""}
--   type: integer number boolean string table any vocab; choices: the texts that it may be
-- An unknown field is an error that names the nearest and lists the permitted ones.

local engine = require "switchyard.engine"
local lazy = require "switchyard.core.lazy"
local foreign = lazy "switchyard.help.foreign"
local options = {}

local function fail(what, ...)
  error(what .. ": " .. string.format(...), 0)
end

--- Raise again what a pcall caught, with the position of the caller `level` functions up, unless
-- the message begins with a position already.
function options.raise(message, level)
  if type(message) == "string" and not message:match "^[^\n]-:%d+: " then
    error(message, level + 1)
  end
  error(message, 0)
end

--- f(...), for `return options.call(f, ...)` in a function of the user's: what it raises has the
-- place of the line that called that function.
function options.call(f, ...)
  local results = table.pack(pcall(f, ...))
  if not results[1] then options.raise(results[2], 2) end
  return table.unpack(results, 2, results.n)
end

-- Names, those that fit into `room` bytes.
local function some(names, room)
  local n, used = 0, 0
  while n < #names and used + #names[n + 1] + 2 <= room do
    n = n + 1
    used = used + #names[n] + 2
  end
  return table.concat(names, ", ", 1, n)
    .. (n < #names and (", and %d more"):format(#names - n) or "")
end

local MEMBER = {field = true, ["function"] = true, method = true} -- what other libraries have, too
local POSITION, MORE = 12, #", and 99 more" -- bytes before a message and behind names

--- "unknown option 'expert' (did you mean 'experts'?); there are: ..."; what others call an option
-- leads to ours.  Of all but options, which may be many (fields, series, runs), those that fit into
-- two lines; where they do not, the nearest is enough.
function options.unknown(what, kind, name, names)
  name = tostring(name)
  local phrase = MEMBER[kind] and foreign.member(name)
  if phrase then fail(what, "unknown %s '%s'; %s", kind, name, phrase) end
  local near = foreign.option(name, names) or engine.nearest(name, names)
  local said = ("unknown %s '%s'%s"):format(kind, name,
    near and (" (did you mean '%s'?)"):format(near) or "")
  if #names == 0 then fail(what, "%s; there are none", said) end
  local all = table.concat(names, ", ")
  local room = 2 * engine.columns() - #("%s: %s; there are: "):format(what, said) - POSITION
  if kind ~= "option" and #all > room then
    if near then fail(what, "%s", said) end
    all = some(names, room - MORE)
  end
  fail(what, "%s; there are: %s", said, all)
end

--- A number for a message: whole ones without a point, large ones short.
function options.number(v)
  if v ~= v then return "nan" end
  local whole = math.tointeger(v)
  if whole and math.abs(whole) < 1e9 then return ("%d"):format(whole) end
  return math.type(v) == "integer" and tostring(v) or ("%.10g"):format(v)
end

local function check_number(what, name, v, row)
  if type(v) ~= "number" then fail(what, "%s must be a number, got %s", name, type(v)) end
  if row[2] == "integer" then
    local i = math.tointeger(v)
    if not i then fail(what, "%s must be a whole number: it is %s", name, options.number(v)) end
    v = i
  end
  if v ~= v or (row[4] and v < row[4]) or (row[5] and v > row[5]) then
    local range = row[5] and "from %s to %s" or "at least %s"
    fail(what, "%s must be " .. range:format(options.number(row[4] or -math.huge),
      row[5] and options.number(row[5]))
      .. ": it is %s", name, options.number(v))
  end
  return v
end

--- Raise if a number, or an element of a tensor, is outside of the range of a row.
function options.check_range(what, v, row)
  if type(v) == "userdata" then v = v:table() end
  if type(v) ~= "table" then return check_number(what, row[1], v, row) end
  for _, element in ipairs(v) do options.check_range(what, element, row) end
end

local function check_choice(what, name, v, choices)
  for _, choice in ipairs(choices) do
    if v == choice then return end
  end
  options.unknown(what, name, v, choices)
end

local function check(what, name, v, row)
  local kind = row[2]
  if kind == "integer" or kind == "number" then return check_number(what, name, v, row) end
  if kind == "any" then return v end
  if kind == "vocab" then
    if type(v) == "userdata" and v.size then return v.size, v end
    if type(v) == "number" then
      return check_number(what, name, v, {name, "integer", nil, 1, 1 << 24})
    end
    fail(what, "%s must be a tokenizer or a number, got %s", name, type(v))
  end
  if type(v) ~= kind then fail(what, "%s must be a %s, got %s", name, kind, type(v)) end
  if row.choices then check_choice(what, name, v, row.choices) end
  return v
end

--- Raise if a value is not as its row has it.
options.check = check

--- options.read(what, given or nil, rows) -> table with every row's value
function options.read(what, given, rows)
  if given == nil then given = {} end
  if type(given) ~= "table" then fail(what, "options must be a table, got %s", type(given)) end
  local out, known, names = {}, {}, {}
  for i, row in ipairs(rows) do
    known[row[1]] = row
    names[i] = row[1]
    out[row[1]] = row[3]
  end
  for name, v in pairs(given) do
    local row = known[name]
    if not row then options.unknown(what, "option", name, names) end
    local value, extra = check(what, name, v, row)
    out[name] = value
    if extra ~= nil then out[name .. "_tokenizer"] = extra end
  end
  return out
end

return options
