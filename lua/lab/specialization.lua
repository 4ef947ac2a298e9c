-- Who is an expert for what: specialization(m, {name = data set, ...}).
--
-- An expert of a token is one of its choices, each as likely (or as its gate, weight = "gate").
-- With C domains and E experts, each figure is the share of X that is known from the expert, less
-- that share under shuffled labels:
--
--   domain       (I(domain; expert) - shuffled) / H(domain)
--   given token  (I(domain; expert | token) - shuffled) / H(domain | token): what the expert says
--                of the domain beyond what the token itself says; a token of one domain alone has
--                no part in it.  Shuffled among the places of the same token.
--   position     (I(eighth of the window; expert) - shuffled) / H(eighth)
--   token        (I(token; expert) - shuffled) / H(expert): what the token alone decides
--
-- Shuffled is the mean of several Philox permutations of a seed: counts of few tokens look
-- informative where they are not.  Source: of the measure Xue et al. 2024 (OpenMoE) and Muennighoff
-- et al. 2025 (OLMoE); of the correction Vinh, Epps and Bailey 2010.
--
--  1. All is a function of (model, data, seed): no number goes by threads.
--  2. Counts are whole numbers where each token has as many experts; else a token's experts count
--     1/k each.

local engine = require "switchyard.engine"
local assignments = require "switchyard.lab.assignments"
local counting = require "switchyard.lab.counting"
local options = require "switchyard.core.options"
local result = require "switchyard.lab.result"
local subject = require "switchyard.lab.subject"

local specialization = {}

local EIGHTHS = 8
local information, zeros = counting.information, counting.zeros
local append, f64, percent = result.append, result.f64, result.percent

-- ---- counting ----

-- What each choice of a mixture counts.
local function weights_of(x, by)
  local w, first = {}, x.first
  for t = 1, #first - 1 do
    local sum = 0
    for i = first[t], first[t + 1] - 1 do sum = sum + (by == "gate" and x.gate[i] or 1) end
    for i = first[t], first[t + 1] - 1 do
      if by == "gate" then w[i] = sum > 0 and x.gate[i] / sum or 0
      else w[i] = x.fixed and 1 or 1 / sum end
    end
  end
  return w
end

-- n[(label - 1) * E + expert] of all tokens.
local function count(x, w, labels, C)
  local n, E, first, choice = zeros(C * x.E), x.E, x.first, x.choice
  for t = 1, #first - 1 do
    local row = (labels[t] - 1) * E
    for i = first[t], first[t + 1] - 1 do
      n[row + choice[i]] = n[row + choice[i]] + w[i]
    end
  end
  return n
end

-- The counts of one token's places, order[from] .. order[to], as rows of those labels that occur.
local function count_token(x, w, labels, order, from, to)
  local rows, R, n, E = {}, 0, {}, x.E
  for k = from, to do
    local t = order[k]
    local row = rows[labels[t]]
    if not row then
      row, R = R * E, R + 1
      rows[labels[t]] = row
      for e = 1, E do n[row + e] = 0 end
    end
    for i = x.first[t], x.first[t + 1] - 1 do
      n[row + x.choice[i]] = n[row + x.choice[i]] + w[i]
    end
  end
  return n, R
end

-- I(label; expert | token), H(label | token), and the share of the choices that are of tokens with
-- several labels.
local function given_token(x, w, labels, s)
  local I, H, all, shared = 0, 0, 0, 0
  for g = 1, #s.firsts - 1 do
    local n, R = count_token(x, w, labels, s.order, s.firsts[g], s.firsts[g + 1] - 1)
    local i, h, _, sum = information(n, R, x.E)
    I, H, all = I + sum * i, H + sum * h, all + sum
    shared = shared + (R > 1 and sum or 0)
  end
  if all == 0 then return 0, 0, 0 end
  return I / all, H / all, shared / all
end

-- I(token; expert) and H(expert), the tokens' places in this order.
local function of_token(x, w, order, firsts)
  local all, within, total = zeros(x.E), 0, 0
  for g = 1, #firsts - 1 do
    local n = zeros(x.E)
    for k = firsts[g], firsts[g + 1] - 1 do
      local t = order[k]
      for i = x.first[t], x.first[t + 1] - 1 do
        local e = x.choice[i]
        n[e], all[e] = n[e] + w[i], all[e] + w[i]
      end
    end
    local sum = 0
    for e = 1, x.E do sum = sum + n[e] end
    within, total = within + sum * counting.entropy(n), total + sum
  end
  local H = counting.entropy(all)
  return total > 0 and H - within / total or 0, H
end

-- ---- figures ----

-- {value, raw, shuffled, deviation}: shares of H.
local function figure(I, H, shuffled)
  if H <= 0 then return {value = 0 / 0, raw = 0 / 0, shuffled = 0 / 0, deviation = 0 / 0} end
  local mean, deviation = counting.moments(shuffled)
  return {value = (I - mean) / H, raw = I / H, shuffled = mean / H, deviation = deviation / H,
          information = I, entropy = H}
end

-- The labels of all figures in orders that mean nothing.
local function shuffle(s, seed)
  local p = counting.permutation(s.n, 2 * seed)
  local out = {label = {}, eighth = {}, order = {}}
  for t = 1, s.n do
    out.label[t], out.eighth[t], out.order[t] = s.label[p[t]], s.eighth[p[t]], p[s.order[t]]
  end
  out.within = counting.shuffle_within(s.label, s.order, s.firsts, 2 * seed + 1)
  return out
end

local function figures(s, x, w, C, shuffles)
  local null = {domain = {}, given = {}, position = {}, token = {}}
  for k, other in ipairs(shuffles) do
    null.domain[k] = information(count(x, w, other.label, C), C, x.E)
    null.given[k] = given_token(x, w, other.within, s)
    null.position[k] = information(count(x, w, other.eighth, EIGHTHS), EIGHTHS, x.E)
    null.token[k] = of_token(x, w, other.order, s.firsts)
    engine.breathe(false, "specialization")
  end
  local n = count(x, w, s.label, C)
  local I, H = information(n, C, x.E)
  local given, rest, shared = given_token(x, w, s.label, s)
  local eighth, H_eighth = information(count(x, w, s.eighth, EIGHTHS), EIGHTHS, x.E)
  local token, H_expert = of_token(x, w, s.order, s.firsts)
  return {domain = figure(I, H, null.domain), given_token = figure(given, rest, null.given),
          position = figure(eighth, H_eighth, null.position),
          token = figure(token, H_expert, null.token), shared = shared}, n
end

-- ---- experts ----

-- The tokens of which an expert has most more than its share.
local function top_tokens(s, x, w, most, text_of)
  local of, totals, sum = {}, zeros(x.E), 0
  for e = 1, x.E do of[e] = {} end
  for g = 1, #s.firsts - 1 do
    local n, all, id = zeros(x.E), 0, s.ids[s.order[s.firsts[g]]]
    for k = s.firsts[g], s.firsts[g + 1] - 1 do
      local t = s.order[k]
      for i = x.first[t], x.first[t + 1] - 1 do
        n[x.choice[i]], all = n[x.choice[i]] + w[i], all + w[i]
      end
    end
    for e = 1, x.E do
      totals[e] = totals[e] + n[e]
      if n[e] > 0 then of[e][#of[e] + 1] = {id = id, count = n[e], all = all} end
    end
    sum = sum + all
  end
  for e, list in ipairs(of) do
    for _, token in ipairs(list) do
      token.lift = token.count * sum / (token.all * totals[e])
      token.above = token.count - token.all * totals[e] / sum
    end
    table.sort(list, function(a, b)
      if a.above ~= b.above then return a.above > b.above end
      return a.id < b.id
    end)
    of[e] = {}
    for i = 1, math.min(most, #list) do
      local token = list[i]
      of[e][i] = {id = token.id, text = text_of(token.id), count = token.count, lift = token.lift}
    end
  end
  return of
end

-- (C,E) tensors of counts, of each expert's domains, and of how much more than their share.
local function domains_of(n, C, E)
  local counts, share, lift, rows, columns, sum = {}, {}, {}, zeros(C), zeros(E), 0
  for c = 1, C do
    for e = 1, E do
      local v = n[(c - 1) * E + e]
      rows[c], columns[e], sum = rows[c] + v, columns[e] + v, sum + v
    end
  end
  for c = 1, C do
    counts[c], share[c], lift[c] = {}, {}, {}
    for e = 1, E do
      local v = n[(c - 1) * E + e]
      counts[c][e], share[c][e] = v, v / columns[e]
      lift[c][e] = v * sum / (columns[e] * rows[c])
    end
  end
  return {counts = counts, share = share, lift = lift, load = columns, sum = sum}
end

-- An expert without a token has no lift: it comes last.
local function known(lift) return lift == lift and lift or -1 end

local function experts_of(x, by, tops, names)
  local list = {}
  for e = 1, x.E do
    local domains = {}
    for c, name in ipairs(names) do
      domains[c] = {domain = name, share = by.share[c][e], lift = by.lift[c][e],
                    count = by.counts[c][e]}
    end
    table.sort(domains, function(a, b)
      local x, y = known(a.lift), known(b.lift)
      if x ~= y then return x > y end
      return a.domain < b.domain
    end)
    list[e] = {load = by.load[e] / by.sum, domains = domains, tokens = tops[e]}
  end
  return list
end

local function layer_of(s, x, C, o, names, text_of)
  local w = weights_of(x, o.weight)
  local out, n = figures(s, x, w, C, s.shuffles)
  local by = domains_of(n, C, x.E)
  out.place, out.label, out.layer, out.router = x.place, x.label, x.layer, x.router
  out.counts, out.share, out.lift = f64(by.counts), f64(by.share), f64(by.lift)
  out.load = f64(by.load) / by.sum
  out.experts = experts_of(x, by, top_tokens(s, x, w, o.tokens, text_of), names)
  return out
end

-- ---- texts ----

local FIGURES = {{"domain", "domain"}, {"given_token", "given token"}, {"token", "token"},
                 {"position", "position"}}

local function layers_table(r)
  local rows = {{"layer"}}
  for _, f in ipairs(FIGURES) do
    local row = rows[1]
    row[#row + 1], row[#row + 2] = f[2], "+-"
  end
  for i, layer in ipairs(r.layers) do
    rows[i + 1] = {layer.label}
    for _, f in ipairs(FIGURES) do
      local row, v = rows[i + 1], layer[f[1]]
      row[#row + 1], row[#row + 2] = percent(v.value), percent(v.deviation, 2)
    end
  end
  return result.table(rows)
end

local function best_domains(expert)
  local list = {}
  for i = 1, math.min(2, #expert.domains) do
    local d = expert.domains[i]
    if d.lift == d.lift then
      list[i] = ("%s %s x%.2f"):format(engine.clean(d.domain), percent(d.share), d.lift)
    end
  end
  return table.concat(list, ", ")
end

local function best_tokens(expert)
  local list = {}
  for i = 1, math.min(6, #expert.tokens) do
    local token = expert.tokens[i]
    list[i] = ("%s x%.1f"):format(engine.clean(token.text), token.lift)
  end
  return table.concat(list, "  ")
end

local EXPERTS = 16 -- of more than so many experts a layer the busiest

local function experts_table(layer)
  local rows, order = {{"expert", "load", "domains", "tokens, by their share of all"}}, {}
  for e = 1, #layer.experts do order[e] = e end
  if #order > EXPERTS then
    table.sort(order, function(a, b)
      local x, y = layer.experts[a].load, layer.experts[b].load
      if x ~= y then return x > y end
      return a < b
    end)
  end
  for i = 1, math.min(EXPERTS, #order) do
    local expert = layer.experts[order[i]]
    rows[i + 1] = {("%d"):format(order[i]), percent(expert.load), best_domains(expert),
                   best_tokens(expert)}
  end
  return result.table(rows, 3)
end

local function heats(r)
  local list = {}
  for i, layer in ipairs(r.layers) do
    list[i] = {title = layer.label .. ": share of each domain at an expert by its share of all "
                 .. "(lift)", rows = r.domains, columns = result.numbers(#layer.experts),
               values = layer.lift:table(), least = 0, most = 2}
  end
  return list
end

local function text(r)
  local lines = {("what the expert says of a token's domain, of %d domains, less what shuffled "
    .. "labels say;"):format(#r.domains),
    ("%d tokens, %s of them in several domains; +- is the deviation of %d shuffles"):format(
      r.tokens, percent(r.layers[1].shared), r.shuffles)}
  append(lines, layers_table(r))
  if r.layers[1].shared == 0 then
    lines[#lines + 1] = "given token: nothing can be said, for no token is in two domains"
  end
  for i, heat in ipairs(heats(r)) do
    lines[#lines + 1] = ""
    append(lines, result.heat(heat))
    append(lines, experts_table(r.layers[i]))
  end
  return lines
end

local function csv(r)
  local rows = {{"layer", "figure", "expert", "domain", "value", "shuffled", "deviation"}}
  for _, layer in ipairs(r.layers) do
    for _, f in ipairs(FIGURES) do
      local v = layer[f[1]]
      rows[#rows + 1] = {layer.label, f[1], nil, nil, v.value, v.shuffled, v.deviation}
    end
    for _, name in ipairs {"counts", "share", "lift"} do
      local values = layer[name]:table()
      for c, domain in ipairs(r.domains) do
        for e, v in ipairs(values[c]) do
          rows[#rows + 1] = {layer.label, name, e, domain, v}
        end
      end
    end
  end
  return rows
end

local new = result.class("specialization", "layers domains tokens shuffles seed weight",
                         {text = text, csv = csv, heat = heats})

-- ---- what is compared ----

local function fail(...) error("specialization: " .. string.format(...), 0) end

local function sets_of(given)
  if engine.is_data(given) then
    local set, kinds = assignments.sets(given)
    if set then return {set}, kinds end
    fail("one data set of one source has nothing to tell apart: give {name = data set, ...}, or a "
      .. "data.mix")
  end
  if type(given) ~= "table" then
    fail("takes {name = data set, ...}, got %s", type(given))
  end
  local names, sets = {}, {}
  for name, d in pairs(given) do
    if type(name) ~= "string" or not engine.is_data(d) then
      fail("takes {name = data set, ...}: %s is a %s", engine.clean(tostring(name)), type(d))
    end
    names[#names + 1] = name
  end
  table.sort(names)
  if #names < 2 then fail("takes at least two data sets, got %d", #names) end
  for i, name in ipairs(names) do sets[i] = {name = name, data = given[name], label = i} end
  return sets, names
end

local rows = assignments.options {
  {"seed", "integer", 1, 0, 1 << 40, help = "of the shuffles"},
  {"shuffles", "integer", 5, 2, 1000, help = "permutations of the labels"},
  {"weight", "string", "choice", choices = {"choice", "gate"},
   help = "what a token's experts count: each as much, or by its gate"},
  {"tokens", "integer", 8, 1, 1000, help = "top tokens of an expert"},
}
specialization.rows = rows

local function measure(m, sets, names, o)
  subject.check_mixtures("specialization", m)
  local text_of = assignments.texts(m, sets[1].data)
  local r = {layers = {}, domains = names, tokens = 0, shuffles = o.shuffles, seed = o.seed,
             weight = o.weight}
  for _, s in ipairs(assignments.of(m, "specialization", sets, o)) do
    s.order, s.firsts = counting.groups(s.ids)
    s.eighth, s.shuffles, r.tokens = {}, {}, r.tokens + s.n
    for t = 1, s.n do s.eighth[t] = (s.place[t] - 1) * EIGHTHS // s.length + 1 end
    for k = 1, o.shuffles do s.shuffles[k] = shuffle(s, o.seed * 4096 + k) end
    for _, x in ipairs(s.mixtures) do
      r.layers[#r.layers + 1] = layer_of(s, x, #names, o, names, text_of)
    end
  end
  return new(r)
end

--- specialization(m or run, {name = data set, ...} or one data set of several sources, options)
function specialization.of(x, given, asked)
  return options.call(function()
    local o = options.read("specialization", asked, rows)
    local sets, names = sets_of(given == nil and subject.data("specialization", x) or given)
    return subject.still("specialization", x, measure, sets, names, o)
  end)
end

return specialization
