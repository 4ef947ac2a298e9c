-- What a linter sees of auxiliary losses that count what they must not: what is dropped, padding,
-- micro-batches.  Checks of lua/lab/lint.lua.

local states = require "switchyard.lab.lint_states"

local counts = {}

local SAME = 2e-3 -- relative difference of what is the same but for rounding

local function values_of(s)
  local out = {}
  for j, loss in ipairs(s.losses) do out[j] = loss.value:item() end
  return out
end

local function off(a, b) return math.abs(a - b) / math.max(math.abs(a), math.abs(b), 1e-12) end

--- load_after_drop
function counts.after_drop(look, found, left)
  local s, why = look:train(states.leaning)
  if not s then return left("%s", why) end
  local drops = false
  for _, x in ipairs(s.mixtures) do drops = drops or x.slots ~= nil end
  if not drops then return left("there is no capacity") end
  local with = values_of(s)
  local free, refused = look:free(states.leaning)
  if not free then return left("%s", refused) end
  for j, loss in ipairs(s.losses) do
    local x, without = s.mixtures[loss.of or 1], free.losses[j].value:item()
    -- of what comes after a mixture that drops, inputs and logits are others as well
    if x.slots and off(with[j], without) > ((loss.of or 2) == 1 and SAME or 0.2) then
      found(x, "with 3 of 4 tokens for expert 1 and %d slots loss %s is %.4g, and %.4g without a "
        .. "capacity; it must not go by what is dropped", x.slots, loss.name, with[j], without)
    end
  end
end

-- Of the tokens of a mixture's side: which are padding; nil: none is.
local function padding_of(s, x)
  local f = s.fields[x.side == "input" and "input_documents" or "documents"]
  if not f then return nil end
  local list, any = states.flat(f), false
  if #list ~= x.N then return nil end
  for i, v in ipairs(list) do
    list[i] = v < 0
    any = any or list[i]
  end
  return any and list or nil
end

local function routed(x, pad)
  local list, M, n = states.flat(x.experts), nil, 0
  M = #list // x.N
  for t = 1, x.N do
    for k = (t - 1) * M + 1, pad[t] and t * M or 0 do n = n + (list[k] > 0 and 1 or 0) end
  end
  return n
end

--- padding_counted
function counts.padding(look, found, left)
  local s, why = look:train(states.mixed(1))
  if not s then return left("%s", why) end
  local pads, any = {}, false
  for i, x in ipairs(s.mixtures) do
    pads[i] = padding_of(s, x)
    any = any or pads[i]
    local n = pads[i] and routed(x, pads[i]) or 0
    if n > 0 then
      found(x, "%d of %d assignments are those of padding", n, select(2, states.counts(x,
        x.experts)))
    end
  end
  if not any then return left("the rows have no padding") end
  local before = values_of(s)
  look:train(function(x, n, e)
    for i, y in ipairs(s.mixtures) do
      if y.leaf == x.leaf and pads[i] and pads[i][n] then return e == 1 and 20 or -40 end
    end
    return states.mixed(1)(x, n, e)
  end)
  for j, loss in ipairs(s.losses) do
    local now = loss.value:item()
    if off(before[j], now) > SAME then
      found(loss.of and s.mixtures[loss.of], "loss %s is %.4g, and %.4g when the logits of padding "
        .. "alone are moved", loss.name, before[j], now)
    end
  end
end

--- loss_by_micro_batches
function counts.by_micro_batches(look, found, left)
  local s, why = look:train(states.leaning)
  if not s then return left("%s", why) end
  local one = {}
  for j, loss in ipairs(s.losses) do one[j] = loss.weighed:item() end
  local four, refused = look:one_of(4, states.leaning)
  if not four then return left("%s", refused) end
  for j, loss in ipairs(four.losses) do
    local now = loss.weighed:item()
    if one[j] and one[j] ~= 0 and off(one[j], now) > 1e-2 then
      found(loss.of and s.mixtures[loss.of], "what loss %s adds is %.4g of one micro-batch, and "
        .. "%.4g of each of 4 that are the same: %.3g times", loss.name, one[j], now, now / one[j])
    end
  end
end

return counts
