-- The reference as a manual page, switchyard-lua(7): every entry of the help and the glossary, as
-- mdoc.

local glossary = require "switchyard.help.glossary"
local help = require "switchyard.help.help"

local manual = {}

local function roff(s)
  s = s:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("'", "\\(aq"):gsub("`", "\\(ga")
  return (s:gsub("^%.", "\\&."):gsub("\n%.", "\n\\&."))
end

-- A sentence begins a new line, as mdoc wants it.
local function prose(text)
  local out = {}
  for sentence in (text:gsub("([%a%d)][.;:]) (%u)", "%1\n%2") .. "\n"):gmatch "(.-)\n" do
    out[#out + 1] = roff(help.wrap(sentence, "", 72))
  end
  return table.concat(out, "\n")
end

local TITLES = {
  tensor = "tensors", tokenizer = "tokenizers", data = "data sets", model = "models",
  train = "training", every = "training", runs = "training", compare = "training",
  replay = "training",
  run = "training", expert = "training", nn = "parts of models", routers = "parts of models",
  help = "prompt", quit = "prompt", sleep = "prompt",
}
for _, row in ipairs(require("switchyard.prompt.commands").rows()) do
  TITLES[row.name] = "prompt"
end

local function dump_entry(e)
  print(".It Li \"" .. roff(e.signature):gsub('"', '\\(dq') .. "\"")
  print(prose(e.text))
  local rows = e.options and e.options()
  if rows then
    print ".Bl -tag -width 18n -compact"
    for _, row in ipairs(rows) do
      print(".It Li " .. roff(help.option_text(row)))
      print(prose(row.help or row[2]))
    end
    print ".El"
  end
  if e.example then
    print(".Bd -literal -offset indent -compact\n" .. roff(e.example) .. "\n.Ed")
  end
end

local HEAD = [[
.\" Made by switchyard --dump-help from the op table and the docs beside the bindings.
.Dd November 30, 2026
.Dt SWITCHYARD-LUA 7
.Os
.Sh NAME
.Nm switchyard-lua
.Nd the Lua interface of switchyard
.Sh DESCRIPTION
Everything is a global at the prompt and in scripts.
Reading a name that is not defined is an error that names the nearest;
_G.name is nil then, and a script that begins with
.Ql _ENV = _G
reads names as Lua does.
Counting starts at 1, token ids at 0.
Dimensions are 1..n, or \-1..\-n from the end.
Options are the fields of one table;
an unknown one is an error that names the nearest.
A mistake raises an error of one line; what the world may do
(a file that cannot be read) returns nil, a message and a code.
.Pp
B is the batch, T the tokens of a sequence, N = B*T, C the width of the model,
H heads, D the width of a head, E experts, K experts a token,
F the width of an expert, V the vocabulary, L layers.]]

--- Write the reference as mdoc to standard output.
function manual.dump()
  local _, list = help.entries()
  local sections, by_title = {}, {}
  for _, e in ipairs(list) do
    local title = TITLES[e.name:match "^[%a_]+"] or e.name
    if not by_title[title] then
      by_title[title] = {title = title}
      sections[#sections + 1] = by_title[title]
    end
    table.insert(by_title[title], e)
  end
  print(HEAD)
  for _, section in ipairs(sections) do
    print(".Sh " .. section.title:upper() .. "\n.Bl -tag -width 4n")
    for _, e in ipairs(section) do dump_entry(e) end
    print ".El"
  end
  print ".Sh GLOSSARY\n.Bl -tag -width 4n"
  for _, term in ipairs(glossary) do
    print(".It " .. roff(term.name))
    print(prose(term.text))
  end
  print ".El"
  print ".Sh SEE ALSO\n.Xr switchyard 1"
end

return manual
