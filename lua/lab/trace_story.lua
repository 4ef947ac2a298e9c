-- One token of a trace: what was chosen for it, by how much, and what another expert would have
-- made of the token behind it.
--
--  1. A counterfactual is exact: expert e takes the place of the weakest of the token's experts, of
--     that layer alone, gates come by the router's own rule, and all that follows is computed anew;
--     later layers route as they will.  Of an expert that is chosen it is the loss as it is.
--  2. It is of the model as it is when it is asked for.  Where that has learnt since the text was
--     traced, the second result says so, and has the loss of now to compare with.

local engine = require "switchyard.engine"
local text = require "switchyard.lab.trace_text"
local trace = require "switchyard.lab.trace"

local story = {}
local BEST = 3 -- of the scores that were not chosen
local TOGETHER = 4096

local function fail(what, ...) error(what .. ": " .. string.format(...), 0) end

local function check_token(t, what, i)
  if math.type(i) == "integer" and i >= 1 and i <= #t.ids then return end
  fail(what, "there is no token %s; they are numbered 1 to %d", tostring(i), #t.ids)
end

-- ---- at ----

local function row(x, i)
  return x and x:narrow(1, i, 1):view(-1):table()
end

-- The best of those that were not chosen: {{expert, score}, ...}.
local function next_best(part, i, experts)
  local scores, taken, list = row(part.scores, i), {}, {}
  if not scores then return nil end
  for _, e in ipairs(experts) do taken[e] = true end
  for e, s in ipairs(scores) do
    if not taken[e] then list[#list + 1] = {e, s} end
  end
  table.sort(list, function(a, b) return a[2] > b[2] or a[2] == b[2] and a[1] < b[1] end)
  return table.move(list, 1, math.min(BEST, #list), 1, {})
end

local function layer_at(part, i)
  local experts, gates = row(part.experts, i), row(part.gates, i)
  return {label = part.label, experts = experts, gates = gates, placed = row(part.placed, i),
          scores = row(part.scores, i), next = next_best(part, i, experts),
          margin = part.margin and part.margin[i]:item()}
end

local Story = {__name = "token"}

local function chosen_text(x)
  local list = {}
  for k, e in ipairs(x.experts) do
    if e > 0 then
      local lost = x.placed[k] == 0 and " dropped" or ""
      list[#list + 1] = ("%d %.3f%s"):format(e, x.gates[k], lost)
    end
  end
  return #list > 0 and table.concat(list, "  ") or "none"
end

local function next_text(x)
  local list = {}
  for k, pair in ipairs(x.next or {}) do list[k] = ("%d %.3f"):format(pair[1], pair[2]) end
  return table.concat(list, "  ")
end

function Story.__tostring(s)
  local head = ("token %d of %d %s (id %d)"):format(s.number, s.of, text.quoted(s.text), s.id)
  if s.next then
    head = head .. (": then %s, loss %.3f, rank %d"):format(text.quoted(s.next), s.loss, s.rank)
  end
  local rows = {{"", "experts and gates", "next best by scores", "margin"}}
  for _, x in ipairs(s.layers) do
    rows[#rows + 1] = {engine.clean(x.label), chosen_text(x), next_text(x),
                       x.margin and ("%.3g"):format(x.margin) or ""}
  end
  return head .. "\n" .. text.columns(rows)
end

--- t:at(i) -> {number=, id=, text=, next=, loss=, rank=, layers={{label=, experts=, gates=, ...}}}
function story.at(t, i)
  check_token(t, "at", i)
  local s = {number = i, of = #t.ids, id = t.ids[i], text = t._texts[i], layers = {}}
  if t.ids[i + 1] then
    s.next, s.loss, s.rank = t._texts[i + 1], t.losses[i]:item(), t.ranks[i]:item()
  end
  for _, part in ipairs(t._parts) do
    if part.side ~= "input" then s.layers[#s.layers + 1] = layer_at(part, i) end
  end
  return setmetatable(s, Story)
end

-- ---- counterfactual ----

-- The window that a token was taken in, from 0, and its place there.
local function window_of(t, i)
  local at
  for _, start in ipairs(t.windows.starts) do -- of two it is the earlier, which had it first
    if i > start and i <= start + t.windows.length then at = at or start end
  end
  return at, i - at
end

local function mixture_of(p, part)
  for _, x in ipairs(p.mixtures) do if x.place == part.place then return x end end
end

local function check_asked(t, i, part)
  local what = "counterfactual"
  if not t._model then fail(what, "a trace that was loaded has no model: trace the text anew") end
  if not t.ids[i + 1] then fail(what, "token %d is the last: there is none behind it", i) end
  if part.side == "input" then
    fail(what, "%s reads the inputs: no token is behind one of them", part.label)
  end
end

-- What a token's experts are, and which of them weighs least.
local function weakest_of(x, at)
  local experts, gates, least = row(x.chosen, at), row(x.gates, at), 1
  for k, g in ipairs(gates) do if g < gates[least] then least = k end end
  return experts, least
end

-- Row r's token gets expert e; with 0 it is as the router chooses.
local function put_other(x, T, r, at, experts, least, e)
  local list, chosen = {}, false
  for k, own in ipairs(experts) do list[k], chosen = own, chosen or own == e end
  for k in ipairs(list) do list[k] = (e == 0 or chosen) and 0 or list[k] end
  if e > 0 and not chosen then list[least] = e end
  engine.put(x.instead:narrow(1, (r - 1) * T + at, 1), list)
end

local function disabled_of(t, part)
  local mask = t._model.inputs["mask." .. part.place]
  return mask and mask:table() or {}
end

-- Losses by each expert, the loss as it is, and the token's experts.
local function losses_by(t, i, part)
  local start, at = window_of(t, i)
  local T, E = t.windows.length, part.E
  local B = t.inputs and 1 or math.min(E, math.max(1, TOGETHER // T))
  local p = trace.probe(t, B, T, {instead = true})
  local x = mixture_of(p, part)
  if not x or not x.instead or not x.chosen then
    fail("counterfactual", "router '%s' gives a token any number of experts, or chooses by "
      .. "neither ctx:choose nor ctx:take: there is no place that another could take", part.router)
  end
  local tokens, targets = trace.window(t.ids, start, T)
  local rows, behind = {}, {}
  for r = 1, B do rows[r], behind[r] = tokens, targets end
  p:put(rows, behind):run()
  local factual, out = p.losses[at]:item(), {}
  local experts, least = weakest_of(x, at)
  for first = 1, E, B do
    for r = 1, B do put_other(x, T, r, at, experts, least, math.min(first + r - 1, E)) end
    p:run()
    for e = first, math.min(first + B - 1, E) do
      out[e] = p.losses[(e - first) * T + at]:item()
    end
  end
  return out, factual, experts, experts[least]
end

local Other = {__name = "counterfactual"}

local BAR = 20

local function bar(v, most)
  return ("#"):rep(most > 0 and math.floor(BAR * math.abs(v) / most + 0.5) or 0)
end

function Other.__tostring(c)
  local rows, most = {{"expert", "loss", "difference"}}, 0
  for _, x in ipairs(c) do
    if x.loss == x.loss then most = math.max(most, math.abs(x.difference)) end
  end
  for _, x in ipairs(c) do
    if x.loss ~= x.loss then
      rows[#rows + 1] = {tostring(x.expert), "-", "disabled"}
    else
      rows[#rows + 1] = {x.expert .. (x.chosen and "*" or ""), ("%.4f"):format(x.loss),
        ("%+.4f"):format(x.difference), bar(x.difference, most)}
    end
  end
  local head = ("token %d %s, %s: loss of %s by each expert in the place of expert %d (* chosen), "
    .. "at step %d"):format(c.token, text.quoted(c.text), engine.clean(c.label),
    text.quoted(c.next), c.replaced, c.step)
  if c.traced ~= c.factual then
    head = head .. ("\n  the model has learnt since it was traced: the loss is %.4f, was %.4f")
      :format(c.factual, c.traced)
  end
  return head .. "\n" .. text.columns(rows)
end

--- t:counterfactual(i, l) -> (E) losses, and a table of them that is printed
function story.counterfactual(t, i, l, mixture)
  check_token(t, "counterfactual", i)
  local part = t:_part("counterfactual", l, mixture)
  check_asked(t, i, part)
  local step, mask, out, factual, experts, replaced
  t._model:_quietly(function()
    step, mask = t._loaded_step or t._model:_steps(), disabled_of(t, part)
    out, factual, experts, replaced = losses_by(t, i, part)
  end)
  local c, taken = {token = i, text = t._texts[i], next = t._texts[i + 1], label = part.label,
                    step = step, factual = factual, traced = t.losses[i]:item(),
                    replaced = replaced}, {}
  for _, e in ipairs(experts) do taken[e] = true end
  for e = 1, part.E do
    if (mask[e] or 0) ~= 0 then out[e] = 0 / 0 end
    c[e] = {expert = e, loss = out[e], difference = out[e] - factual, chosen = taken[e] or false}
  end
  return tensor(out), setmetatable(c, Other)
end

return story
