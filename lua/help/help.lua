-- Help: ?name at the prompt, help "name", ??name (source), and the reference as a manual page.
--
-- Entries are {name=, signature=, text=, example=}: those of the C bindings and of the op table
-- come from engine.docs(), those of what is written in Lua from docs.lua and compose.lua; a script
-- adds its own with help.add{...}.  An entry with options = function() -> rows lists them with
-- their defaults.

local engine = require "switchyard.engine"
local lazy = require "switchyard.core.lazy"
local foreign = lazy "switchyard.help.foreign"
local glossary = require "switchyard.help.glossary"
local method = require "switchyard.core.method"
local words = require "switchyard.core.words"

local help, added = {}, {}

--- Add an entry; of several with one name the first counts, a row of the op table last.
function help.add(entry) added[#added + 1] = entry end

--- All entries by name, and in order.
function help.entries()
  local by_name, list = {}, {}
  local at = {}
  local function put(e)
    local before = by_name[e.name]
    if before and not (before.op and not e.op) then return end -- a method in place of its row
    at[e.name] = at[e.name] or #list + 1
    list[at[e.name]], by_name[e.name] = e, e
  end
  for _, e in ipairs(engine.docs()) do put(e) end
  for _, e in ipairs(require("switchyard.tensor.compose").docs()) do put(e) end
  for _, e in ipairs(require("switchyard.help.docs").list()) do put(e) end
  for _, e in ipairs(added) do put(e) end
  return by_name, list
end

local function last_part(name) return name:match "^[%w_.:?]*%f[%w_]([%w_]+)$" end

-- What a value is, as the names of entries begin: "model" for one made by model.moe; nil when not
-- known.
local function kind_of(v)
  local meta = type(v) ~= "function" and debug.getmetatable(v)
  local kind = type(meta) == "table" and (rawget(meta, "__name") or rawget(meta, "__metatable"))
  return type(kind) == "string" and kind:match "[%w_]+$" or nil
end

-- What the docs call a value of a kind: r.lr, m:loss.
local OWNERS = {r = "run", m = "model", d = "data", x = "expert", a = "tensor", b = "tensor",
                tok = "tokenizer"}

-- A name with what stands before its last part as a kind where it is known: r.lr is run and .lr,
-- whether r is a run here or only in the docs; nil: there is nothing before it, or it is not known.
local function of_kind(name)
  local first, rest = name:match "^([%a_][%w_]*)([.:].+)$"
  local kind = first and (kind_of(rawget(_G, first)) or rawget(_G, first) == nil and OWNERS[first])
  return kind or nil, rest
end

-- Exact name, then with : for . and under "tensor", then by the kind of a global (m:loss where m is
-- a model), then by last part, but of what has a kind only its own.
local function find(name)
  local by_name, list = help.entries()
  local function exact(n)
    return by_name[n] or by_name[n:gsub("%.", ":")] or by_name[n:gsub(":", ".")]
  end
  local e = exact(name) or by_name["tensor:" .. name] or by_name["tensor." .. name]
  if e then return e, list end
  local plain = name:gsub("%(.*$", "")
  local kind, rest = of_kind(plain)
  e = exact(plain) or kind and exact(kind .. rest) or not rest and kind_of(rawget(_G, plain)) and
    exact(kind_of(rawget(_G, plain)))
  if e or kind then return e or nil, list end
  for _, entry in ipairs(list) do
    if last_part(entry.name) and last_part(entry.name) == last_part(plain) then
      return entry, list
    end
  end
  return nil, list
end

local function has_word(text, word)
  return ("." .. text .. "."):find("[^%w_]" .. word .. "[^%w_]") ~= nil
end

-- Letters and digits alone: "Noisy top-k" and noisy_topk are one.
local function bare(name) return (name:lower():gsub("[^%w]", "")) end

-- How often each two neighbouring characters stand in a word, and how many there are.
local function neighbours(word)
  local count, n = {}, 0
  word = bare(word)
  for i = 1, #word - 1 do
    local two = word:sub(i, i + 1)
    count[two], n = (count[two] or 0) + 1, n + 1
  end
  return count, n
end

local ALIKE, MOST_ALIKE = 0.55, 5

-- Of words the few with which a name has most neighbours in common, as a share of both (Dice).
local function alike(name, names)
  local mine, n = neighbours(name)
  local likeness, found = {}, {}
  for _, word in ipairs(names) do
    local its, m = neighbours(word)
    local common = 0
    for two, k in next, its do common = common + math.min(k, mine[two] or 0) end
    if 2 * common >= ALIKE * (n + m) and common > 0 and not likeness[word] then
      likeness[word], found[#found + 1] = 2 * common / (n + m), word
    end
  end
  table.sort(found, function(a, b)
    if likeness[a] ~= likeness[b] then return likeness[a] > likeness[b] end
    return a < b
  end)
  return table.move(found, 1, MOST_ALIKE, 1, {})
end

-- Names that what was asked may have meant: misspelt ones, those that it is a part of, those whose
-- texts have the word; where there is none, those that are most like it.
local function near(name, list)
  local hits, words, of, known = {}, {}, {}, {}
  local function hit(n)
    if n and not known[n] then known[n], hits[#hits + 1] = true, n end
  end
  local function candidate(word, n) words[#words + 1], of[word] = word, of[word] or n end
  for _, e in ipairs(list) do
    candidate(e.name, e.name)
    candidate(last_part(e.name) or e.name, e.name)
    for _, row in ipairs(e.options and e.options() or {}) do candidate(row[1], row[1]) end
  end
  for _, term in ipairs(glossary) do candidate(term.name, term.name) end
  hit(of[engine.nearest(name, words)])
  local plain = name:lower()
  local is_word = plain:find "^[%w_]+$" and #plain > 2
  for _, e in ipairs(is_word and #plain > 3 and list or {}) do
    if e.name:lower():find(plain, 1, true) then hit(e.name) end
  end
  for _, e in ipairs(is_word and list or {}) do
    if has_word(e.text:lower(), plain) then hit(e.name) end
  end
  for _, word in ipairs(#hits == 0 and alike(name, words) or {}) do hit(of[word]) end
  return hits
end

--- Lines of at most `width` characters behind an indent.
function help.wrap(text, indent, width)
  local out, line = {}, ""
  for word in text:gmatch "%S+" do
    if #line + #word + 1 > width and line ~= "" then
      out[#out + 1] = indent .. line
      line = word
    else
      line = line == "" and word or line .. " " .. word
    end
  end
  out[#out + 1] = indent .. line
  return table.concat(out, "\n")
end

local wrap = help.wrap

local function indented(text, indent) return indent .. text:gsub("\n", "\n" .. indent) end

--- "name=default" of a row of options.
function help.option_text(row)
  local told = row.help and row.help:find "default: " -- in words
  if told or row[3] == nil or type(row[3]) == "table" then return row[1] end
  local text = math.type(row[3]) == "float" and ("%g"):format(row[3]) or tostring(row[3])
  return row[1] .. "=" .. text
end

local option_text = help.option_text

local function option_lines(rows)
  local out = {}
  for i, row in ipairs(rows) do
    local text = wrap(row.help or row[2], (" "):rep(30), 50)
    out[i] = ("      %-23s %s"):format(option_text(row), text:match "^%s*(.*)$")
  end
  return table.concat(out, "\n")
end

--- The entry that ?name prints, or nil.
function help.entry(name) return (find(name)) end

--- Rows {name, type, default, least, most, help=} of the options that a function takes, or nil.
function help.options(name)
  local e = find(name)
  return e and e.options and e.options() or nil
end

-- ---- what else a name is: an option, a field of a run, a term ----

local LIVE = {next = "r.%s = x holds from the next step on.",
              plan = "r.%s = x traces and plans again.", never = "It is fixed for the run."}

-- What changes an option of this entry in a live run.
local function live_text(row) return row.live and " " .. LIVE[row.live]:format(row[1]) or "" end

local function range_text(row)
  if type(row[4]) ~= "number" or row[2] ~= "number" and row[2] ~= "integer" then return "" end
  local text = row[5] and row[5] < 1e12 and ("from %.10g to %.10g"):format(row[4], row[5]) or
    ("at least %.10g"):format(row[4])
  return "; " .. text
end

-- Rows of options of this name with the entries that have them: the same row of several is told
-- once.
local function options_named(name, list)
  local found, at = {}, {}
  for _, e in ipairs(list) do
    for _, row in ipairs(e.options and e.options() or {}) do
      if row[1] == name then
        local text = row.help or row[2]
        if not at[text] then
          at[text] = {row = row, of = {}}
          found[#found + 1] = at[text]
        end
        table.insert(at[text].of, e.name)
      end
    end
  end
  return found
end

local function option_entry(o)
  local text = (o.row.help or "a " .. o.row[2]) .. range_text(o.row) .. "." .. live_text(o.row)
  return ("%s    an option of %s\n%s"):format(option_text(o.row), table.concat(o.of, ", "),
    wrap(text, "    ", 76))
end

-- The part of a text that tells of a field: "mfu the share of ...".
local function clause(text, field)
  for part in text:gmatch "[^.;:]+" do
    if part:find("^%s*" .. field .. "%f[^%w_]") or part:find(" and " .. field .. " ") then
      return part:match "^%s*(.*)$"
    end
  end
end

-- "an option of ...": names of entries, of many the first.
local function options_text(name, names, more)
  local MOST = 6
  local rest = #names > MOST and (" and %d more"):format(#names - MOST) or ""
  return ("%s    %san option of %s%s"):format(name, more and "also " or "",
    table.concat(names, ", ", 1, math.min(#names, MOST)), rest)
end

-- Entries in whose signature the name stands as an option (temperature=0.8) or a field (r.mfu).
local function in_signatures(name, list, found)
  local out, options_of, listed = {}, {}, {}
  for _, o in ipairs(found) do
    for _, n in ipairs(o.of) do listed[n] = true end
  end
  for _, e in ipairs(list) do
    if not listed[e.name] and e.signature:find("[{,(]%s*" .. name .. "=") then
      options_of[#options_of + 1] = e.name
    elseif e.signature:find("%f[%w_]%a%." .. name .. "%f[^%w_]") then
      local part = clause(e.text, name)
      local field = e.signature:match("%f[%w_]%a%." .. name .. "%f[^%w_]")
      out[#out + 1] = ("%s    a field: ?%s"):format(field, e.name)
        .. (part and "\n" .. wrap(part .. ".", "    ", 76) or "")
    end
  end
  if #options_of > 0 then table.insert(out, 1, options_text(name, options_of, #found > 0)) end
  return out
end

local function term_entry(name)
  local term = glossary.find(name)
  if not term then return nil end
  return term.name .. "    a term\n"
    .. wrap(term.text .. (term.see and " See ?" .. term.see .. "." or ""), "    ", 76)
end

local function entry_text(e)
  local out = {e.signature, wrap(e.text, "    ", 76)}
  local rows = e.options and e.options()
  if rows then out[#out + 1] = option_lines(rows) end
  if e.example then out[#out + 1] = indented(e.example, "        ") end
  return table.concat(out, "\n")
end

-- The entries of the routers and balance rules of that name, however it is written, but `entry`.
local function routing_entries(name, list, entry)
  local out, asked = {}, bare(name)
  for _, e in ipairs(list) do
    local of = e.name:match "^nn%.routers%.([%w_]+)$" or e.name:match "^nn%.balances%.([%w_]+)$"
    if of and bare(of) == asked and not rawequal(e, entry) then out[#out + 1] = entry_text(e) end
  end
  return out
end

-- Of a name without a kind (fill): what others have it, one line each.
local function namesakes(name, list, entry)
  local out = {}
  for _, e in ipairs(name:find "^[%w_]+$" and entry and list or {}) do
    if e ~= entry and last_part(e.name) == name then
      out[#out + 1] = ("%s\n    see ?%s"):format(e.signature, e.name)
    end
  end
  return out
end

-- Texts of all that the name is besides an entry.
local function other_meanings(name, list, entry)
  local out = {}
  local word = name:match "^[%w_]+$" or of_kind(name) ~= "tensor" and
    not name:find "^tensor[.:]" and name:match "^[%a_][%w_]*[.:]([%w_]+)$"
  if word then
    local found = options_named(word, list)
    for _, o in ipairs(found) do out[#out + 1] = option_entry(o) end
    for _, text in ipairs(in_signatures(word, list, found)) do out[#out + 1] = text end
  end
  for _, text in ipairs(namesakes(name, list, entry)) do out[#out + 1] = text end
  out[#out + 1] = term_entry(name)
  for _, text in ipairs(routing_entries(word or name, list, entry)) do out[#out + 1] = text end
  return out
end

--- All that ?name knows: names of entries, options and terms of one word; of options those of this
-- program's own entries, for completion runs nothing of the user's.
function help.words()
  local words, seen = {}, {}
  local function add(word)
    if not seen[word] then seen[word], words[#words + 1] = true, word end
  end
  local _, list = help.entries()
  for _, e in ipairs(list) do
    add(e.name)
    for _, row in ipairs(e.own and e.options and e.options() or {}) do add(row[1]) end
  end
  for _, term in ipairs(glossary) do
    if not term.name:find " " then add(term.name) end
  end
  return words
end

--- The text that ?name prints, of its entry and of what else it is; or nil and a list of near
-- names.
function help.text(name)
  local e, list = find(name)
  local texts = other_meanings(name, list, e)
  if e then table.insert(texts, 1, entry_text(e)) end
  if #texts == 0 then return nil, near(name, list) end
  return table.concat(texts, "\n")
end

local function topics(list)
  local seen, names = {}, {}
  for _, e in ipairs(list) do
    local topic = e.name:match "^[%a_]+"
    if not seen[topic] then names[#names + 1] = topic end
    seen[topic] = (seen[topic] or 0) + 1
  end
  return names, seen
end

local INTRO = [[
Type Lua; values print themselves (a ; at the end hides them).
  ?name    help on a function, a method or a topic      ??name   its source
  !cmd     a shell command                              Tab      completes names
  :cmd     a command of the prompt; :help lists them    _        the last value
  Ctrl-C   clears the line, ends what runs or waits     Ctrl-D   leaves
What waits for long (r:wait(), r:eval(), sleep) goes on as a job beside the
prompt: :jobs lists them, :kill N ends one.]]

-- The name of the entry of a value: a function, a run, a tensor ...; or nil.
local function name_of(value)
  local _, list = help.entries()
  if type(value) == "function" or type(value) == "table" then
    for _, e in ipairs(list) do
      if rawequal(help.resolve(e.name), value) then return e.name end
    end
  end
  local kind = kind_of(value)
  return kind and help.entry(kind) and kind or nil
end

local function introduce()
  local _, list = help.entries()
  print(INTRO)
  print(wrap("Topics: " .. table.concat((topics(list)), " "), "", 78))
end

local function print_known(name, text, list)
  if text then print(text) end
  local names = {}
  for _, e in ipairs(list) do
    if e.name:match "^[%a_]+" == name and e.name ~= name then
      names[#names + 1] = last_part(e.name)
    end
  end
  if #names > 0 then
    print(wrap((text and "See also: " or "In " .. name .. ": ") .. table.concat(names, " "),
      "    ", 76))
  end
end

-- Functions of Lua's, which its own manual describes.
local LUAS = {}
for name in ([[assert collectgarbage dofile error getmetatable ipairs load loadfile next pairs
  pcall print rawequal rawget rawlen rawset require select setmetatable tonumber tostring type warn
  xpcall coroutine debug io math os package string table utf8
]]):gmatch "%S+" do LUAS[name] = true end

-- What is said of such a name, or of a function of such a library; or nil.
local function luas_own(name)
  local library = name:match "^(%l[%w]*)%.[%w_]+$"
  if LUAS[name] or words.is_lua(name) or library and LUAS[library]
    and type(rawget(_G, library)) == "table" and help.resolve(name) ~= nil then
    return name .. " is Lua's own; see the Lua manual (www.lua.org/manual/5.4)", library
  end
end

--- ?name, help "name" or help(value); without a name an introduction with the topics.
function help.print(name)
  if name ~= nil and type(name) ~= "string" then
    name = name_of(name) or
      engine.error("help: takes a name or what has one (help \"train\", help(train)): it is a "
        .. type(name))
  end
  if not name or name == "" or name == "help" then return introduce() end
  local text, hits = help.text(name)
  local _, list = help.entries()
  local _, known = topics(list)
  local own, within = luas_own(name)
  if not within and (text or known[name]) then print_known(name, text, list) end
  if own then
    print(own)
  elseif text or known[name] then
    return
  elseif foreign.ask(name) then
    print(engine.clean(("nothing is called '%s' here; %s"):format(name, foreign.ask(name))))
  elseif #hits > 0 then
    local more = #hits > 12 and " …" or ""
    print("nothing is called '" .. engine.clean(name) .. "'; near: "
      .. table.concat(hits, " ", 1, math.min(#hits, 12)) .. more)
  else
    engine.error("help: nothing is known about '" .. name .. "'; ?help lists the topics")
  end
end

-- What entries of methods begin with, where no variable is called so.
local function kind(name)
  local Run = name == "run" and require("switchyard.run.run").Run
  return Run and Run.methods or name == "model" and require("switchyard.model.model")._Model or nil
end

local function resolve(name)
  local function look(v)
    for part in name:gmatch("[%w_]+", v ~= _G and #name:match "^[%w_]*" + 1 or 1) do
      local ok, next_value = pcall(function() return v[math.tointeger(tonumber(part)) or part] end)
      if not ok or next_value == nil then return nil end
      v = next_value
    end
    return v
  end
  local v = look(_G)
  local of = v == nil and kind(name:match "^[%w_]*")
  return of and look(of) or v
end

--- The value that a name of an entry stands for, or nil.
help.resolve = resolve

--- A function (or a table that can be called) that has an entry: its signature and the first
-- sentence; or nil.
function help.brief(f)
  local _, list = help.entries()
  for _, e in ipairs(list) do
    if rawequal(resolve(e.name), f) then
      return e.signature, e.text:match "^(.-[^%d%s])[.:;]%f[%s\0]" or e.text
    end
  end
end

-- Where a function of Lua stands, and its lines; nil for one of C's or one that was typed.
local function function_source(f)
  f = method.written(f)
  local info = debug.getinfo(f, "S")
  if info.what == "C" then return nil end
  local text, where
  local module = info.source:match "^=switchyard:(.*)%.lua$"
  if module then
    text, where = engine.source((module:gsub("/", "."))), "lua/" .. module .. ".lua"
  elseif info.source:sub(1, 1) == "@" then
    where = info.source:sub(2)
    local file = io.open(where)
    text = file and file:read "a"
    if file then file:close() end
  end
  if not text then return nil end
  local lines, n = {}, 0
  local first
  for line in (text .. "\n"):gmatch "(.-)\n" do
    n = n + 1
    if n < info.linedefined and line:find "^%-%-" then
      first = first or n -- the comment above belongs to it
      lines[#lines + 1] = line
    elseif n >= info.linedefined and n <= info.lastlinedefined then
      lines[#lines + 1] = line
    elseif n < info.linedefined then
      lines, first = {}, nil
    end
  end
  return where .. ":" .. info.linedefined, table.concat(lines, "\n")
end

--- ??name: where a Lua function stands, and its source.
function help.source(name)
  local f = resolve(name)
  if f == nil then engine.error("help: nothing is called '" .. name .. "'") end
  local meta = type(f) == "table" and debug.getmetatable(f)
  if meta and type(rawget(meta, "__call")) == "function" then f = rawget(meta, "__call") end
  if type(f) ~= "function" then
    engine.error("help: '" .. name .. "' is a " .. type(f) .. ", not a function")
  end
  local where, text = function_source(f)
  if not where then
    engine.error("help: '" .. name .. "' is written in C or was typed; ?" .. name
      .. " describes it")
  end
  print(where)
  print(text)
end

return setmetatable(help, {
  __call = function(_, name) help.print(name) end,
  __tostring = function() return "help: ?name, or help \"name\"; ?help shows the way" end,
})
