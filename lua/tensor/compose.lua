-- What methods of tensors are made of that are compositions of rows of the op table: so they have
-- gradients, are recorded in a model's function, take strided views, and give the same bits on any
-- number of threads and every kernel set, because the rows do.  Here are their arguments and how
-- they become methods; shapes.lua, numbers.lua, select.lua and einsum.lua have them.
--
--  1. compose.row(name, signature, text, example or nil, f): f becomes a method and a function of
--     `tensor`, the rest its entry in the help.  An error from inside begins with the row's name.
--  2. Counting is from 1.  Dimensions are checked in Lua, so that messages name the tensor that was
--     given.

local engine = require "switchyard.engine"
local options = require "switchyard.core.options"

local compose = {}
local rows = {}
local one = tensor.ones(1)
local meta = debug.getmetatable(one)
local methods = meta.methods

--- A method.
function compose.row(name, signature, text, example, f)
  rows[#rows + 1] = {name, signature, text, example, f}
end

-- ---- arguments ----

--- engine.error with the name before it.
function compose.fail(what, ...) engine.error(what .. ": " .. string.format(...)) end

function compose.shape_text(x) return "(" .. table.concat(x.shape, ", ") .. ")" end

function compose.is_tensor(x) return type(x) == "userdata" and debug.getmetatable(x) == meta end

-- What a value is, for a message.
function compose.kind(v)
  return v == nil and "missing" or compose.is_tensor(v) and "a tensor" or "a " .. type(v)
end

function compose.want_tensor(what, x, name)
  if not compose.is_tensor(x) then
    compose.fail(what, "%s must be a tensor: it is %s", name or "x", compose.kind(x))
  end
  return x
end

function compose.whole(what, v, name, least, most)
  local i = math.tointeger(v)
  if type(v) ~= "number" or not i then
    compose.fail(what, "%s must be a whole number: it is %s", name,
      type(v) == "number" and tostring(v) or compose.kind(v))
  end
  if least and i < least or most and i > most then
    compose.fail(what, "%s must be %s: it is %d", name,
      most and ("from %d to %d"):format(least, most) or "at least " .. least, i)
  end
  return i
end

-- A dimension 1..n or -1..-n as 1..n; `more` places beyond the last count too.
function compose.dimension(what, x, d, more)
  local n = x.ndim + (more or 0)
  local i = compose.whole(what, d, "dim")
  if i < 0 then i = i + n + 1 end
  if i < 1 or i > n then
    compose.fail(what, "no dimension %d: the tensor is %s", d, compose.shape_text(x))
  end
  return i
end

-- Parameters by their place, or by name in a last table.
function compose.named(what, names, ...)
  local n, given, out = select("#", ...), {...}, {}
  local last = given[n]
  if type(last) == "table" and next(last) ~= nil and rawlen(last) == 0 then
    n = n - 1
    for name, v in pairs(last) do
      local known = false
      for _, other in ipairs(names) do known = known or name == other end
      if not known then options.unknown(what, "option", name, names) end
      out[name] = v
    end
  end
  if n > #names then
    compose.fail(what, "argument %d is one too many (takes %s)", n + 1,
      #names > 0 and table.concat(names, ", ") or "none")
  end
  for i = 1, n do
    if given[i] ~= nil then out[names[i]] = given[i] end
  end
  return out
end

function compose.replaced(shape, d, ...) -- shape with dimension d replaced by these sizes
  local out = {}
  for i, n in ipairs(shape) do
    if i ~= d then out[#out + 1] = n
    else for _, m in ipairs {...} do out[#out + 1] = m end end
  end
  return out
end

function compose.is_float(x) return x.dtype == "f32" or x.dtype == "f64" or x.dtype == "bf16" end

function compose.truth(what, x)
  if type(x) == "number" or type(x) == "boolean" then return tensor(x ~= 0 and x ~= false) end
  compose.want_tensor(what, x)
  return x.dtype == "bool" and x or (x:ne(0))
end

-- ---- the methods ----

-- The message of an operation inside with the name of the composition before it.
local function renamed(name, message)
  local place, text = message:match "^([^\n]-:%d+: )(.*)$"
  text = text or message
  if text:sub(1, #name + 2) ~= name .. ": " then text = name .. ": " .. text end
  if not place then engine.error(text) end -- with the place of the user's line
  return place .. text
end

--- The results of pcall, or its error with the name before it.
function compose.checked(name, ok, ...)
  if ok then return ... end
  local message = ...
  error(type(message) == "string" and renamed(name, message) or message, 0)
end

--- Make the methods, and functions of the same name of `tensor`.
function compose.open()
  for _, name in ipairs {"shapes", "numbers", "select", "einsum"} do
    require("switchyard.tensor." .. name)
  end
  for _, r in ipairs(rows) do
    local name, f = r[1], r[5]
    local function method(...) return compose.checked(name, pcall(f, ...)) end
    methods[name], tensor[name] = method, method
  end
  meta.__band, meta.__bor, meta.__bxor = methods.logical_and, methods.logical_or,
    methods.logical_xor
  meta.__bnot = function(a) return (compose.truth("~", a):logical_not()) end
end

--- Entries for the help.
function compose.docs()
  local list = {}
  for i, r in ipairs(rows) do
    local first = r[2]:match "^%s*([%w_.:]+)"
    local name = (first:find("tensor.", 1, true) == 1 and "tensor." or "tensor:") .. r[1]
    list[i] = {name = name, signature = r[2], text = r[3], example = r[4]}
  end
  return list
end

return compose
