-- The token-to-expert map: for each token id the expert that it is most often sent to first.
--
--  1. First is what the router puts first: the largest gate of most routers.  Of equally frequent
--     ones it is the lower number.

local engine = require "switchyard.engine"
local assignments = require "switchyard.lab.assignments"
local counting = require "switchyard.lab.counting"
local options = require "switchyard.core.options"
local result = require "switchyard.lab.result"
local subject = require "switchyard.lab.subject"

local token_experts = {}

local function fail(...) error("token_experts: " .. string.format(...), 0) end

-- The most frequent first expert of the places order[from] .. order[to], and its share of those
-- that have one.
local function most_frequent(x, order, from, to)
  local n, sum, best = counting.zeros(x.E), 0, 1
  for k = from, to do
    local t = order[k]
    if x.first[t + 1] > x.first[t] then
      local e = x.choice[x.first[t]]
      n[e], sum = n[e] + 1, sum + 1
    end
  end
  for e = 2, x.E do if n[e] > n[best] then best = e end end
  return sum > 0 and best or 0, sum > 0 and n[best] / sum or 0 / 0
end

local function of_stack(s, o, text_of, r)
  local order, firsts = counting.groups(s.ids)
  for g = 1, #firsts - 1 do
    local from, to = firsts[g], firsts[g + 1] - 1
    if to - from + 1 >= o.least then
      local id = s.ids[order[from]]
      local row = {id = id, text = text_of(id), count = to - from + 1, experts = {}, share = {}}
      for i, x in ipairs(s.mixtures) do
        row.experts[i], row.share[i] = most_frequent(x, order, from, to)
      end
      row.stack = s.number
      r.tokens[#r.tokens + 1] = row
    end
  end
end

-- ---- texts ----

local TOKENS = 40 -- of more the most frequent

local function by_count(r)
  local list = table.move(r.tokens, 1, #r.tokens, 1, {})
  table.sort(list, function(a, b)
    if a.count ~= b.count then return a.count > b.count end
    if a.id ~= b.id then return a.id < b.id end
    return a.stack < b.stack
  end)
  return list
end

local function text(r)
  local head, rows, list = {"token", "id", "count"}, {}, by_count(r)
  for _, label in ipairs(r.layers) do head[#head + 1] = engine.clean(label) end
  rows[1] = head
  for i = 1, math.min(TOKENS, #list) do
    local token = list[i]
    local row = {engine.clean(token.text), ("%d"):format(token.id), ("%d"):format(token.count)}
    for l = 1, #r.layers do
      local at = r.stack[l] == token.stack and l - r.before[l]
      row[#row + 1] = at and ("%d %3.0f%%"):format(token.experts[at], 100 * token.share[at]) or ""
    end
    rows[i + 1] = row
  end
  local lines = result.table(rows)
  if #list > TOKENS then lines[#lines + 1] = ("… %d more"):format(#list - TOKENS) end
  if #list == 0 then lines = {("no token occurs %d times"):format(r.least)} end
  return lines
end

local function csv(r)
  local rows = {{"token", "id", "count", "layer", "expert", "share"}}
  for _, token in ipairs(r.tokens) do
    for l, label in ipairs(r.layers) do
      local at = l - r.before[l]
      if r.stack[l] == token.stack then
        rows[#rows + 1] = {token.text, token.id, token.count, label, token.experts[at],
                           token.share[at]}
      end
    end
  end
  return rows
end

local new = result.class("token_experts", "tokens layers least", {text = text, csv = csv})

token_experts.rows = assignments.options {
  {"least", "integer", 10, 1, help = "occurrences that a token must have"},
}

local function measure(m, d, o)
  subject.check_mixtures("token_experts", m)
  local r = {tokens = {}, layers = {}, least = o.least, stack = {}, before = {}}
  local text_of = assignments.texts(m, d)
  for number, s in ipairs(assignments.of(m, "token_experts", {{data = d, label = 1}}, o)) do
    s.number = number
    local before = #r.layers
    for _, x in ipairs(s.mixtures) do
      local l = #r.layers + 1
      r.layers[l], r.stack[l], r.before[l] = x.label, number, before
    end
    of_stack(s, o, text_of, r)
  end
  return new(r)
end

--- token_experts(m or run, data, {least=10, batches=4, batch=16, context=})
function token_experts.of(x, d, asked)
  return options.call(function()
    local o = options.read("token_experts", asked, token_experts.rows)
    d = d or subject.data("token_experts", x)
    if not engine.is_data(d) then fail("takes a data set, got %s", type(d)) end
    return subject.still("token_experts", x, measure, d, o)
  end)
end

return token_experts
