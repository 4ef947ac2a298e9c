-- Lua's own words, and the check of names that users give to what is named in Lua afterwards:
-- router = "name", balance = {name = 1}, nn.routers.name, model.name, ?name.

local engine = require "switchyard.engine"
local words = {list = {}}
local is_word = {}

for word in ("and break do else elseif end false for function goto if in local nil not or repeat "
    .. "return then true until while"):gmatch "%a+" do
  words.list[#words.list + 1], is_word[word] = word, true
end

--- Is it a word of Lua's: end, nil ...?
function words.is_lua(name) return is_word[name] == true end

local of_before = false

--- f(...), the script of a stored run: its names may be older than this check.
function words.unchecked(f, ...)
  local was <close> = setmetatable({}, {__close = function() of_before = false end})
  of_before = true
  return f(...)
end

--- Raise unless it can be a name.
function words.check_name(what, name)
  if of_before then return end
  if type(name) == "string" and name:find "^%a[%w_]*$" and not is_word[name] then return end
  engine.error(("%s: a name is letters, digits and _, begins with a letter and is no word of "
    .. "Lua's: it is '%s'"):format(what, engine.clean((tostring(name):gsub("%c", "?")))))
end

return words
