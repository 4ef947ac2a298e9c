# shellcheck shell=sh
# Sourced: catalogues makes message catalogues of two languages in the folder that it is called in,
# locale/LANGUAGE/LC_MESSAGES/few.mo.
catalogues()
{
    mkdir -p locale/de/LC_MESSAGES locale/fr/LC_MESSAGES
    # shellcheck disable=SC2154  # whoever runs the tests sets srcdir
    "$SWITCHYARD" -E -e "local mo = dofile '$srcdir/tests/lua/mo.lua'
        local words = {
            en = {{'open', 'close', 'copy', 'save', 'print'}, {'file', 'page', 'table', 'list'},
                  {'here', 'there', 'again', 'now', 'later', 'twice'}},
            de = {{'öffne', 'schließe', 'kopiere', 'sichere', 'drucke'},
                  {'Datei', 'Seite', 'Tabelle', 'Liste'},
                  {'hier', 'dort', 'wieder', 'nun', 'später', 'zweimal'}},
            fr = {{'ouvrir', 'fermer', 'copier', 'garder', 'imprimer'},
                  {'fichier', 'page', 'tableau', 'liste'},
                  {'ici', 'là', 'encore', 'maintenant', 'après', 'deux fois'}}}
        for _, language in ipairs{'de', 'fr'} do
          local messages, of, en = {}, words[language], words.en
          for i, a in ipairs(en[1]) do
            for j, b in ipairs(en[2]) do
              for k, c in ipairs(en[3]) do
                messages[#messages + 1] = {a .. ' the ' .. b .. ' ' .. c,
                                           of[1][i] .. ' ' .. of[2][j] .. ' ' .. of[3][k]}
              end
            end
          end
          local f = assert(io.open('locale/' .. language .. '/LC_MESSAGES/few.mo', 'wb'))
          f:write(mo(messages))
          f:close()
        end"
}
