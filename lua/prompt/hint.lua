-- What a message of Lua's own is to end with: the nearest name for an unknown one, or what
-- something of another language or library is called here (foreign.lua).
--
--     attempt to call a nil value (method 'wiat')   ->  ... (method 'wiat'); did you mean 'wait'?
--     syntax error near '!'                         ->  ... near '!'; not equal is ~= in Lua
--
-- hint.global(name) is for whoever finds an undefined global by himself.

local engine = require "switchyard.engine"
local lazy = require "switchyard.core.lazy"
local foreign = lazy "switchyard.help.foreign"

local hint = {}

-- Line n of what `lines` goes through.
local function nth(n, lines, ...)
  for line in lines, ... do
    n = n - 1
    if n == 0 then return line end
  end
end

-- Line n of a script.
local function line_of(path, n)
  local file <close> = io.open(path)
  return file and nth(n, file:lines())
end

-- Names that complete `path.` or `path:`.
local function members(path, mark)
  local names = {}
  for name in (require("switchyard.prompt.complete").lines(path .. mark) or ""):gmatch "[^\n]+" do
    names[#names + 1] = name
  end
  return names
end

-- Names in the docs whose entries have this mark: methods (':') or functions of tables ('.').
local function documented(mark)
  local names, seen = {}, {}
  for name in pairs((require("switchyard.help.help").entries())) do
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

local function did_you_mean(name, found)
  return found and found ~= name and ("did you mean '%s'?"):format(found) or nil
end

--- What a name that no global has was meant to be, as a phrase that goes behind a semicolon; or
-- nil.
function hint.global(name)
  return foreign.name(name) or did_you_mean(name, engine.nearest(name, globals()))
end

-- The same of a method or field of what stands before it in the source.
local function member(kind, name, source)
  local phrase = foreign.member(name)
  if phrase then return phrase end
  local mark = kind == "method" and ":" or "."
  for path in (source or ""):gmatch("([%a_][%w_.%[%]]*)%s*%" .. mark .. "%s*" .. name
    .. "%f[^%w_]") do
    local names = members(path, mark)
    local found = engine.nearest(name, names) or longer(name, names)
    if found or #names > 0 then return did_you_mean(name, found) end
  end
  return did_you_mean(name, engine.nearest(name, documented(mark)))
end

-- A name that a job will set: `x = r:wait().loss` was typed and has not ended.
local function comes(name)
  for _, job in ipairs(engine.jobs()) do
    if (" " .. job.text):find("[^%w_.:]" .. name .. "%s*=[^=]") then
      return ("job %d, which sets it, has not ended"):format(job.number)
    end
  end
end

--- What is said of a name that is not defined, where it is read (src/bind/core/strict.c).
function hint.undefined(name)
  local phrase = comes(name) or hint.global(name)
  return ("undefined name '%s'%s"):format(name, phrase and "; " .. phrase or "")
end

-- A field was called: `a:size()`.
local function not_called(first)
  local kind, name = first:match "attempt to call a (%a+) value %(%a+ '([%a_][%w_]*)'%)"
  if kind == "number" or kind == "string" or kind == "boolean" or kind == "table" then
    return first:find "%(method" and ("%s is a field, not a method: .%s"):format(name, name)
      or first:find "%(field" and ("%s is no function"):format(name) or nil
  end
end

-- Texts added, formatted as f"..." is, and what begins with # as comments of Python's do.
local function of_types(first, source)
  if first:find "attempt to mod a 'string'" or first:find "string value" and (source or
    ""):find "['\"]%s*%%" then
    return 'formatting is ("%d"):format(x)'
  end
  if first:find "attempt to perform arithmetic on a string value" or
    first:find "attempt to add a '" then
    return "texts are joined by .."
  end
  if first:find "%(global '[frbu]'%)" or first:find "undefined name '[frbu]'$" then
    return foreign.line(source or "")
  end
  if (first:find "get length of a nil value" or first:find "undefined name '") and (source or
    ""):find "^%s*#%s*%a" then
    return "comments begin with --"
  end
end

local function phrase_for(first, source)
  local kind, name = first:match "a nil value %((%a+) '([%a_][%w_]*)'%)"
  if kind == "global" then return of_types(first, source) or hint.global(name) end
  if kind == "method" or kind == "field" then return member(kind, name, source) end
  if first:find " near '" or first:find " near <eof>" then return foreign.line(source or "") end
  return not_called(first) or of_types(first, source)
end

--- The message with what helps, or as it is.  source: the text of the chunk, if it was typed.
function hint.add(message, source)
  local first, rest = message:match "^([^\n]*)(.*)$"
  local path, number = first:match "^(.-):(%d+): "
  if path == "yard" then
    source = nth(tonumber(number), ((source or "") .. "\n"):gmatch "([^\n]*)\n")
  elseif path then
    source = line_of(path, tonumber(number))
  end
  local phrase = phrase_for(first, source)
  return phrase and first .. "; " .. phrase .. rest or message
end

--- What an unfinished text is that will never be finished, a block of Python's; or nil.
function hint.unfinished(text) return foreign.block(text) end

return hint
