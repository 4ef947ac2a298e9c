-- "did you mean": the nearest name for an unknown one in a message of Lua's own.
--
--     attempt to call a nil value (method 'wiat')   ->  ... (method 'wiat'); did you mean 'wait'?

local engine = require "switchyard.engine"

local hint = {}

-- Line n of a script, for what stands before the name.
local function line_of(path, n)
  local file = io.open(path)
  if not file then return nil end
  local i = 0
  for line in file:lines() do
    i = i + 1
    if i == n then
      file:close()
      return line
    end
  end
  file:close()
end

-- Names that complete `path.` or `path:`.
local function members(path, mark)
  local names = {}
  for name in (require("switchyard.complete").lines(path .. mark) or ""):gmatch "[^\n]+" do names[#names + 1] = name end
  return names
end

-- Names in the docs whose entries have this mark: methods (':') or functions of tables ('.').
local function documented(mark)
  local names, seen = {}, {}
  for name in pairs((require("switchyard.help").entries())) do
    local last = name:match("%" .. mark .. "([%w_]+)$")
    if last and not seen[last] then
      seen[last] = true
      names[#names + 1] = last
    end
  end
  return names
end

local function globals()
  local names = {}
  for name in next, _G do
    if type(name) == "string" then names[#names + 1] = name end
  end
  return names
end

-- The first name that goes on where this one ends: train_bpe for train.
local function longer(name, names)
  table.sort(names)
  for _, other in ipairs(names) do
    if other:sub(1, #name) == name and other ~= name then return other end
  end
end

local function near(kind, name, source)
  if kind == "global" then return engine.nearest(name, globals()) end
  local mark = kind == "method" and ":" or "."
  for path in (source or ""):gmatch("([%a_][%w_.%[%]]*)%s*%" .. mark .. "%s*" .. name .. "%f[^%w_]") do
    local names = members(path, mark)
    local found = engine.nearest(name, names) or longer(name, names)
    if found then return found end
  end
  return engine.nearest(name, documented(mark))
end

--- The message with the nearest name, or as it is.  source: the text of the chunk, if it was typed.
function hint.add(message, source)
  local first, rest = message:match "^([^\n]*)(.*)$"
  local kind, name = first:match "a nil value %((%a+) '([%a_][%w_]*)'%)"
  if kind ~= "global" and kind ~= "method" and kind ~= "field" then return message end
  local path, number = first:match "^(.-):(%d+): "
  if path and path ~= "yard" then source = line_of(path, tonumber(number)) end
  local found = near(kind, name, source)
  if not found or found == name then return message end
  return ("%s; did you mean '%s'?%s"):format(first, found, rest)
end

return hint
