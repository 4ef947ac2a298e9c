-- Strict objects: reading or setting a name that an object does not have is an error that names the
-- nearest one; a field that cannot be set says so, and what to use instead.
--
--  1. An object is {_fields = values} with a class for a metatable, so no field is set
--     without passing through here.  Names that begin with _ are the program's own: raw, and nil
--     when they are not there.
--  2. The program's own modules may set fields, and look for names that are not there, as does what
--     is written in C (pairs, rawget, completion): only lines of users are refused.
--  3. What these functions __index do is without effect: completion calls them
--     (lua/prompt/complete.lua).

local options = require "switchyard.core.options"
local fields = {}
local quiet = setmetatable({}, {__mode = "k"}) -- the functions __index

--- Whether a function is a user's, by its debug.getinfo.
function fields.is_users(info)
  return info.what ~= "C" and info.source:sub(1, 12) ~= "=switchyard:"
end

-- Whether the function `level` above the caller is.
local function of_users(level)
  local info = debug.getinfo(level + 1, "S")
  return info and fields.is_users(info)
end

local function is_private(name) return type(name) == "string" and name:sub(1, 1) == "_" end

-- Raise for the line that reads or sets, `level` above the caller: "model: unknown field 'contxt'
-- (did you mean 'context'?)".  The names are the keys of the tables that follow.
local function unknown(level, what, kind, name, ...)
  local names = {}
  for _, set in ipairs {...} do
    for key in next, set do
      if type(key) == "string" and not is_private(key) then names[#names + 1] = key end
    end
  end
  table.sort(names)
  local _, why = pcall(options.unknown, what, kind, name, names)
  options.raise(why, level + 1)
end

--- A class: methods; names, a text of its fields' names; instead(object, name) -> what is said of a
-- name that is set, or read and not there; nil: nothing is.
function fields.class(what, methods, names, instead)
  local class, known = {__name = what, methods = methods, fields = {}}, nil
  known = class.fields
  for name in names:gmatch "%S+" do known[name] = true end

  local function refuse(o, name, setting)
    local said = instead and instead(o, name, setting)
    if said then options.raise(("%s: %s"):format(what, said), 3) end
    if known[name] or methods[name] then
      options.raise(("%s: %s cannot be set"):format(what, name), 3)
    end
    unknown(3, what, "field", name, known, methods)
  end

  function class.__index(o, name)
    local v = methods[name]
    if v == nil then v = rawget(o, "_fields")[name] end
    if v == nil and not known[name] and not is_private(name) and of_users(2) then
      refuse(o, name, false)
    end
    return v
  end
  quiet[class.__index] = true

  function class.__newindex(o, name, value)
    if of_users(2) then refuse(o, name, true) end
    if known[name] then rawget(o, "_fields")[name] = value else rawset(o, name, value) end
  end
  function class.__pairs(o) return next, rawget(o, "_fields"), nil end
  function class.__tostring(o)
    return (require("switchyard.prompt.show").text(rawget(o, "_fields")))
  end
  return class
end

--- An object of a class; values: its fields, by name.
function fields.object(class, values) return setmetatable({_fields = values}, class) end

--- A list of n items that are made when asked for, printed one a line. What is not there is an
-- error that names the range; nil only for ipairs and its like, which look for the end. instead:
-- what is said to whoever sets one. named(i), or nil: the number of what is asked for by a name.
function fields.numbered(what, kind, n, make, instead, named)
  local function item(_, i)
    i = named and named(i) or i
    if math.type(i) == "integer" and i >= 1 and i <= n then return make(i) end
    if not of_users(2) then return nil end
    local is_name = type(i) == "string" or type(i) == "number"
    error(("%s: there is no %s %s; they are numbered 1 to %d"):format(what, kind,
      is_name and tostring(i) or "of a " .. type(i), n), 2)
  end
  quiet[item] = true
  return setmetatable({}, {
    __len = function() return n end,
    __tostring = function()
      local lines = {}
      for i = 1, n do lines[i] = tostring(make(i)) end
      return n > 0 and table.concat(lines, "\n") or ("no %ss"):format(kind)
    end,
    __index = item,
    __newindex = function(_, i)
      error(("%s: %s %s cannot be set; %s"):format(what, kind, tostring(i), instead), 2)
    end,
  })
end

--- Names that a table has not are refused to those who read them, with the nearest; and if
-- `closed`, to those who set them. kind: what the table has (function, model).
function fields.only(t, what, kind, closed)
  local meta = getmetatable(t) or {}
  function meta.__index(_, name)
    if type(name) == "string" and of_users(2) then unknown(2, what, kind, name, t) end
  end
  quiet[meta.__index] = true
  if closed then
    function meta.__newindex(_, name, value)
      if of_users(2) then unknown(2, what, kind, tostring(name), t) end
      rawset(t, name, value)
    end
  end
  return setmetatable(t, meta)
end

--- f, a function __index without effect, is one of these.
function fields.quiet(f)
  quiet[f] = true
  return f
end

--- Whether a function __index is one of these.
function fields.is_quiet(index) return quiet[index] == true end

return fields
