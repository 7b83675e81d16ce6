-- What the site does to a page that nbdev has made, before Quarto goes on with it.

local HOME = "https://deepir%.github%.io/deepir/"
local COLAB = "https://colab.research.google.com/github/deepir/deepir/blob/main/nbs/tutorials/"
local INSTALL = "%pip install -q git+https://github.com/deepir/deepir"

-- Methods have no heading of their own: links to them lead to their class.
function Link(link)
  link.target = link.target:gsub("(%.html#[%w_]+)%.[%w_]+$", "%1")
  return link
end

-- nbdev links names in headings, where links do not look like headings, and in code, where they do not work.
function Header(header)
  return header:walk({Link = function(link) return link.content end})
end

function CodeBlock(code)
  code.text = code.text:gsub("%[(`[^`\n]+`)%]%(" .. HOME .. "[^)%s]*%)", "%1"):gsub(":NoneType=None", "=None")
  return code
end

function Para(para) -- said of what has no docstring
  if pandoc.utils.stringify(para) == "Call self as a function." then return {} end
end

-- nbdev shows many a definition twice: heading, signature and docstring, and then, in a cell that is folded, the source,
-- which begins with both. Where there is source it is shown unfolded, and nothing stands above it but the headings of
-- what it defines.
local function definition_at(blocks, i) -- its number of blocks
  local rule, link, heading, signature, docstring = table.unpack(blocks, i, i + 4)
  if signature and rule.t == "HorizontalRule" and pandoc.utils.stringify(link) == "source" and heading.t == "Header" and signature.t == "CodeBlock" then
    return docstring and docstring.t == "Para" and 5 or 4
  end
end

local function source_in(block)
  local code = block and block.t == "Div" and block.classes:includes("cell") and block.content[1]
  return code and code.t == "CodeBlock" and code.attributes["code-summary"] == "Exported source" and code
end

local function defines(code, heading)
  local name = " " .. pandoc.utils.stringify(heading) .. "[^%w_]"
  return code and (code.text:find("def" .. name) or code.text:find("class" .. name))
end

function Blocks(blocks)
  local kept, source, place, i = pandoc.List(), nil, nil, 1
  while i <= #blocks do
    local n = definition_at(blocks, i)
    if n then
      local rule, link, heading = table.unpack(blocks, i, i + 2)
      heading.classes:insert("definition")
      if defines(source_in(blocks[i + n]), heading) then
        kept:extend({rule, link, heading})
        place = #kept - 1
      elseif place and defines(source, heading) then -- of several in one cell nbdev shows the last above it and the others below
        kept:insert(place, heading)
        kept:insert(place, link)
      else kept:extend({table.unpack(blocks, i, i + n - 1)}) end
    else
      kept:insert(blocks[i])
      source = source_in(blocks[i])
      if source then source.attributes["code-fold"], source.attributes["code-summary"] = nil, nil end
    end
    i = i + (n or 1)
  end
  return kept
end

function Pandoc(doc)
  local input = quarto and quarto.doc.input_file or PANDOC_STATE.input_files[1]
  local tutorial = input:match("tutorials[/\\]([^/\\]+)%.%w+$")
  if tutorial then
    local line = ("[Open in Colab](%s%s.ipynb), and run `%s` there first."):format(COLAB, tutorial, INSTALL)
    doc.blocks:insert(1, pandoc.Div(pandoc.read(line, "markdown").blocks, {class = "colab"}))
  end
  return doc
end
