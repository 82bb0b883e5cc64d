-- A name is found in any order of its words (`Quimby, Zelda`), and as URLs, HTML and JSON escape it (`zelda%20quimby`, `Jos&eacute;`).

-- Letters and blanks that HTML has names for. memory/escapes.py has the same; a test compares them.
CREATE FUNCTION entity(name text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT '{"AElig": "\u00c6", "Aacute": "\u00c1", "Abreve": "\u0102", "Acirc": "\u00c2", "Acy": "\u0410", "Agrave": "\u00c0",
        "Alpha": "\u0391", "Amacr": "\u0100", "Aogon": "\u0104", "Aring": "\u00c5", "Atilde": "\u00c3", "Auml": "\u00c4",
        "Bcy": "\u0411", "Beta": "\u0392", "CHcy": "\u0427", "Cacute": "\u0106", "Ccaron": "\u010c", "Ccedil": "\u00c7",
        "Ccirc": "\u0108", "Cdot": "\u010a", "Chi": "\u03a7", "DJcy": "\u0402", "DScy": "\u0405", "DZcy": "\u040f", "Dcaron": "\u010e",
        "Dcy": "\u0414", "Delta": "\u0394", "Dstrok": "\u0110", "ENG": "\u014a", "ETH": "\u00d0", "Eacute": "\u00c9", "Ecaron": "\u011a",
        "Ecirc": "\u00ca", "Ecy": "\u042d", "Edot": "\u0116", "Egrave": "\u00c8", "Emacr": "\u0112", "Eogon": "\u0118",
        "Epsilon": "\u0395", "Eta": "\u0397", "Euml": "\u00cb", "Fcy": "\u0424", "GJcy": "\u0403", "Gamma": "\u0393", "Gammad": "\u03dc",
        "Gbreve": "\u011e", "Gcedil": "\u0122", "Gcirc": "\u011c", "Gcy": "\u0413", "Gdot": "\u0120", "HARDcy": "\u042a",
        "Hacek": "\u02c7", "Hcirc": "\u0124", "Hstrok": "\u0126", "IEcy": "\u0415", "IJlig": "\u0132", "IOcy": "\u0401",
        "Iacute": "\u00cd", "Icirc": "\u00ce", "Icy": "\u0418", "Idot": "\u0130", "Igrave": "\u00cc", "Imacr": "\u012a",
        "Iogon": "\u012e", "Iota": "\u0399", "Itilde": "\u0128", "Iukcy": "\u0406", "Iuml": "\u00cf", "Jcirc": "\u0134", "Jcy": "\u0419",
        "Jsercy": "\u0408", "Jukcy": "\u0404", "KHcy": "\u0425", "KJcy": "\u040c", "Kappa": "\u039a", "Kcedil": "\u0136",
        "Kcy": "\u041a", "LJcy": "\u0409", "Lacute": "\u0139", "Lambda": "\u039b", "Lcaron": "\u013d", "Lcedil": "\u013b",
        "Lcy": "\u041b", "Lmidot": "\u013f", "Lstrok": "\u0141", "Mcy": "\u041c", "MediumSpace": "\u205f", "Mu": "\u039c",
        "NJcy": "\u040a", "Nacute": "\u0143", "Ncaron": "\u0147", "Ncedil": "\u0145", "Ncy": "\u041d", "NoBreak": "\u2060",
        "NonBreakingSpace": "\u00a0", "Ntilde": "\u00d1", "Nu": "\u039d", "OElig": "\u0152", "Oacute": "\u00d3", "Ocirc": "\u00d4",
        "Ocy": "\u041e", "Odblac": "\u0150", "Ograve": "\u00d2", "Omacr": "\u014c", "Omega": "\u03a9", "Omicron": "\u039f",
        "Oslash": "\u00d8", "Otilde": "\u00d5", "Ouml": "\u00d6", "Pcy": "\u041f", "Phi": "\u03a6", "Pi": "\u03a0", "Psi": "\u03a8",
        "Racute": "\u0154", "Rcaron": "\u0158", "Rcedil": "\u0156", "Rcy": "\u0420", "Rho": "\u03a1", "SHCHcy": "\u0429",
        "SHcy": "\u0428", "SOFTcy": "\u042c", "Sacute": "\u015a", "Scaron": "\u0160", "Scedil": "\u015e", "Scirc": "\u015c",
        "Scy": "\u0421", "Sigma": "\u03a3", "THORN": "\u00de", "TSHcy": "\u040b", "TScy": "\u0426", "Tau": "\u03a4", "Tcaron": "\u0164",
        "Tcedil": "\u0162", "Tcy": "\u0422", "Theta": "\u0398", "ThinSpace": "\u2009", "Tstrok": "\u0166", "Uacute": "\u00da",
        "Ubrcy": "\u040e", "Ubreve": "\u016c", "Ucirc": "\u00db", "Ucy": "\u0423", "Udblac": "\u0170", "Ugrave": "\u00d9",
        "Umacr": "\u016a", "UnderBar": "_", "Uogon": "\u0172", "Upsi": "\u03d2", "Upsilon": "\u03a5", "Uring": "\u016e",
        "Utilde": "\u0168", "Uuml": "\u00dc", "Vcy": "\u0412", "VeryThinSpace": "\u200a", "Wcirc": "\u0174", "Xi": "\u039e",
        "YAcy": "\u042f", "YIcy": "\u0407", "YUcy": "\u042e", "Yacute": "\u00dd", "Ycirc": "\u0176", "Ycy": "\u042b", "Yuml": "\u0178",
        "ZHcy": "\u0416", "Zacute": "\u0179", "Zcaron": "\u017d", "Zcy": "\u0417", "Zdot": "\u017b", "ZeroWidthSpace": "\u200b",
        "Zeta": "\u0396", "aacute": "\u00e1", "abreve": "\u0103", "acirc": "\u00e2", "acy": "\u0430", "aelig": "\u00e6",
        "agrave": "\u00e0", "alpha": "\u03b1", "amacr": "\u0101", "angst": "\u00c5", "aogon": "\u0105", "aring": "\u00e5",
        "atilde": "\u00e3", "auml": "\u00e4", "bcy": "\u0431", "beta": "\u03b2", "cacute": "\u0107", "caron": "\u02c7",
        "ccaron": "\u010d", "ccedil": "\u00e7", "ccirc": "\u0109", "cdot": "\u010b", "chcy": "\u0447", "chi": "\u03c7", "circ": "\u02c6",
        "comma": ",", "commat": "@", "dcaron": "\u010f", "dcy": "\u0434", "delta": "\u03b4", "digamma": "\u03dd", "djcy": "\u0452",
        "dscy": "\u0455", "dstrok": "\u0111", "dzcy": "\u045f", "eacute": "\u00e9", "ecaron": "\u011b", "ecirc": "\u00ea",
        "ecy": "\u044d", "edot": "\u0117", "egrave": "\u00e8", "emacr": "\u0113", "emsp": "\u2003", "emsp13": "\u2004",
        "emsp14": "\u2005", "eng": "\u014b", "ensp": "\u2002", "eogon": "\u0119", "epsi": "\u03b5", "epsilon": "\u03b5",
        "epsiv": "\u03f5", "eta": "\u03b7", "eth": "\u00f0", "euml": "\u00eb", "fcy": "\u0444", "fnof": "\u0192", "gacute": "\u01f5",
        "gamma": "\u03b3", "gammad": "\u03dd", "gbreve": "\u011f", "gcirc": "\u011d", "gcy": "\u0433", "gdot": "\u0121",
        "gjcy": "\u0453", "hairsp": "\u200a", "hardcy": "\u044a", "hcirc": "\u0125", "hstrok": "\u0127", "iacute": "\u00ed",
        "icirc": "\u00ee", "icy": "\u0438", "iecy": "\u0435", "igrave": "\u00ec", "ijlig": "\u0133", "imacr": "\u012b",
        "imath": "\u0131", "imped": "\u01b5", "inodot": "\u0131", "iocy": "\u0451", "iogon": "\u012f", "iota": "\u03b9",
        "itilde": "\u0129", "iukcy": "\u0456", "iuml": "\u00ef", "jcirc": "\u0135", "jcy": "\u0439", "jmath": "\u0237",
        "jsercy": "\u0458", "jukcy": "\u0454", "kappa": "\u03ba", "kappav": "\u03f0", "kcedil": "\u0137", "kcy": "\u043a",
        "kgreen": "\u0138", "khcy": "\u0445", "kjcy": "\u045c", "lacute": "\u013a", "lambda": "\u03bb", "lcaron": "\u013e",
        "lcedil": "\u013c", "lcy": "\u043b", "ljcy": "\u0459", "lmidot": "\u0140", "lowbar": "_", "lrm": "\u200e", "lstrok": "\u0142",
        "mcy": "\u043c", "micro": "\u00b5", "mu": "\u03bc", "nacute": "\u0144", "napos": "\u0149", "nbsp": "\u00a0", "ncaron": "\u0148",
        "ncedil": "\u0146", "ncy": "\u043d", "njcy": "\u045a", "ntilde": "\u00f1", "nu": "\u03bd", "numsp": "\u2007", "oacute": "\u00f3",
        "ocirc": "\u00f4", "ocy": "\u043e", "odblac": "\u0151", "oelig": "\u0153", "ograve": "\u00f2", "ohm": "\u03a9",
        "omacr": "\u014d", "omega": "\u03c9", "omicron": "\u03bf", "ordf": "\u00aa", "ordm": "\u00ba", "oslash": "\u00f8",
        "otilde": "\u00f5", "ouml": "\u00f6", "pcy": "\u043f", "period": ".", "phi": "\u03c6", "phiv": "\u03d5", "pi": "\u03c0",
        "piv": "\u03d6", "psi": "\u03c8", "puncsp": "\u2008", "racute": "\u0155", "rcaron": "\u0159", "rcedil": "\u0157",
        "rcy": "\u0440", "rho": "\u03c1", "rhov": "\u03f1", "rlm": "\u200f", "sacute": "\u015b", "scaron": "\u0161", "scedil": "\u015f",
        "scirc": "\u015d", "scy": "\u0441", "shchcy": "\u0449", "shcy": "\u0448", "shy": "\u00ad", "sigma": "\u03c3", "sigmaf": "\u03c2",
        "sigmav": "\u03c2", "softcy": "\u044c", "straightepsilon": "\u03f5", "straightphi": "\u03d5", "szlig": "\u00df", "tau": "\u03c4",
        "tcaron": "\u0165", "tcedil": "\u0163", "tcy": "\u0442", "theta": "\u03b8", "thetasym": "\u03d1", "thetav": "\u03d1",
        "thinsp": "\u2009", "thorn": "\u00fe", "tscy": "\u0446", "tshcy": "\u045b", "tstrok": "\u0167", "uacute": "\u00fa",
        "ubrcy": "\u045e", "ubreve": "\u016d", "ucirc": "\u00fb", "ucy": "\u0443", "udblac": "\u0171", "ugrave": "\u00f9",
        "umacr": "\u016b", "uogon": "\u0173", "upsi": "\u03c5", "upsih": "\u03d2", "upsilon": "\u03c5", "uring": "\u016f",
        "utilde": "\u0169", "uuml": "\u00fc", "varepsilon": "\u03f5", "varkappa": "\u03f0", "varphi": "\u03d5", "varpi": "\u03d6",
        "varrho": "\u03f1", "varsigma": "\u03c2", "vartheta": "\u03d1", "vcy": "\u0432", "wcirc": "\u0175", "xi": "\u03be",
        "yacute": "\u00fd", "yacy": "\u044f", "ycirc": "\u0177", "ycy": "\u044b", "yicy": "\u0457", "yucy": "\u044e", "yuml": "\u00ff",
        "zacute": "\u017a", "zcaron": "\u017e", "zcy": "\u0437", "zdot": "\u017c", "zeta": "\u03b6", "zhcy": "\u0436", "zwj": "\u200d",
        "zwnj": "\u200c"}'::jsonb ->> name
$$;
-- What is an escape: the pattern of memory/escapes.py. A test compares them.
CREATE FUNCTION escapes() RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT '(?:%(?:25)*|(?<!\\)\\+x)(?:[Cc][2-9A-Fa-f]|[Dd][0-9A-Fa-f])(?:%(?:25)*|(?<!\\)\\+x)[89ABab][0-9A-Fa-f]|'
        '(?:%(?:25)*|(?<!\\)\\+x)(?:[Ee]0(?:%(?:25)*|(?<!\\)\\+x)[ABab][0-9A-Fa-f]|[Ee][1-9ABCEFabcef](?:%(?:25)*|(?<!\\)\\+x)[89ABab][0-'
        '9A-Fa-f]|[Ee][Dd](?:%(?:25)*|(?<!\\)\\+x)[89][0-9A-Fa-f])(?:%(?:25)*|(?<!\\)\\+x)[89ABab][0-9A-Fa-f]|'
        '(?:%(?:25)*|(?<!\\)\\+x)(?:[Ff]0(?:%(?:25)*|(?<!\\)\\+x)[9ABab][0-9A-Fa-f]|[Ff][1-3](?:%(?:25)*|(?<!\\)\\+x)[89ABab][0-9A-Fa-f]|'
        '[Ff]4(?:%(?:25)*|(?<!\\)\\+x)8[0-9A-Fa-f])(?:%(?:25)*|(?<!\\)\\+x)[89ABab][0-9A-Fa-f](?:%(?:25)*|(?<!\\)\\+x)[89ABab][0-9A-Fa-f]'
        '|'
        '(?:%(?:25)*|(?<!\\)\\+x)[0-9A-Fa-f][0-9A-Fa-f]|'
        '(?:(?<!\\)\\+|%)u[Dd][89ABab][0-9A-Fa-f][0-9A-Fa-f](?:(?<!\\)\\+|%)u[Dd][C-Fc-f][0-9A-Fa-f][0-9A-Fa-f]|'
        '(?:(?<!\\)\\+|%)u[0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f]|'
        '(?<!\\)\\+U00(?:0[0-9A-Fa-f]|10)[0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f]|'
        '(?<!\\)\\+[nrt]|'
        '&(?:amp;)*(?:#[0-9]{1,7}|#[Xx][0-9A-Fa-f]{1,6}|[A-Za-z][0-9A-Za-z]{1,30});'
$$;
-- The one character that an escape stands for; a dot where that is part of no name.
CREATE FUNCTION unescaped(escape text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    octets text[];
    units text[];
    name text;
    code bigint;
BEGIN
    IF left(escape, 1) = '&' THEN
        name := substring(escape FROM '^&(?:amp;)*(.+);$');
        IF left(name, 1) <> '#' THEN RETURN coalesce(entity(name), U&'\00B7'); END IF;
        code := CASE WHEN name ~ '^#[Xx]' THEN ('0x' || substr(name, 3))::bigint ELSE substr(name, 2)::bigint END;
    ELSIF right(escape, 1) ~ '[nrt]' THEN
        RETURN ' ';
    ELSE
        octets := ARRAY(SELECT part[1] FROM regexp_matches(escape, '(?:%(?:25)*|\\+x)([0-9A-Fa-f]{2})', 'g') AS part);
        IF cardinality(octets) > 1 THEN RETURN convert_from(decode(array_to_string(octets, ''), 'hex'), 'UTF8'); END IF;
        units := ARRAY(SELECT part[1] FROM regexp_matches(escape, '(?:\\+|%)u([0-9A-Fa-f]{4})', 'g') AS part);
        code := ('0x' || coalesce(octets[1], units[1], right(escape, 8)))::bigint;
        IF cardinality(units) = 2 THEN code := 65536 + ((code - 55296) << 10) + ('0x' || units[2])::bigint - 56320; END IF;
    END IF;
    RETURN CASE WHEN code = 0 OR code BETWEEN 55296 AND 57343 OR code > 1114111 THEN U&'\00B7' ELSE chr(code::integer) END;
END $$;
-- A text as it reads once its escapes are letters again.
CREATE FUNCTION as_read(body text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    plain text[];
    escape text[];
BEGIN
    IF body !~ '[%&\\]' THEN RETURN body; END IF;
    plain := regexp_split_to_array(body, escapes());
    escape := ARRAY(SELECT part[1] FROM regexp_matches(body, escapes(), 'g') AS part);
    -- Not by subscripts: each would walk through the array.
    RETURN (SELECT string_agg(piece.plain || coalesce(unescaped(piece.escape), ''), '' ORDER BY nth)
              FROM unnest(plain, escape) WITH ORDINALITY AS piece (plain, escape, nth));
END $$;

-- What may stand after a word of a name in another order than its own: they are side by side. memory/naming.py has the same.
CREATE FUNCTION name_gap(word text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE length(normalize(word, NFKC)) WHEN 1 THEN
        '(?:\.[ \t\r\n\u00a0\u2002-\u200a\u202f\u205f\u3000+]{0,2},?[ \t\r\n\u00a0\u2002-\u200a\u202f\u205f\u3000+]{0,2}|[ \t\r\n\u00a0\u2002-'
        '\u200a\u202f\u205f\u3000+]{0,2},[ \t\r\n\u00a0\u2002-\u200a\u202f\u205f\u3000+]{0,2}|[ \t\r\n\u00a0\u2002-\u200a\u202f\u205f\u3000'
        '+]{1,2}|[._-])' ELSE
        '(?:[ \t\r\n\u00a0\u2002-\u200a\u202f\u205f\u3000+]{0,2},[ \t\r\n\u00a0\u2002-\u200a\u202f\u205f\u3000+]{0,2}|[ \t\r\n\u00a0\u2002-\u2'
        '00a\u202f\u205f\u3000+]{1,2}|[._-])' END
$$;
-- What belongs to the letter before it and is none itself: accents that are typed by themselves, and what takes a vowel away.
CREATE FUNCTION name_marks() RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT '[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f'
        '\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca]'
$$;
-- The orders of a name of two to four words, its own among them.
CREATE FUNCTION name_orders(name text) RETURNS TABLE (words text[]) LANGUAGE sql IMMUTABLE AS $$
    WITH RECURSIVE given AS (
        SELECT string_to_array(name, ' ') AS word
    ), laid AS (
        SELECT word, '{}'::int[] AS places FROM given WHERE cardinality(word) BETWEEN 2 AND 4
        UNION ALL
        SELECT word, places || place FROM laid, generate_series(1, cardinality(word)) AS place WHERE place <> ALL (places)
    )
    SELECT DISTINCT ARRAY(SELECT word[place] FROM unnest(places) WITH ORDINALITY AS given (place, nth) ORDER BY nth)
      FROM laid WHERE cardinality(places) = cardinality(word)
$$;
-- As one word: beside an @ in its own order or with the last word first, else by its capitals, in any order.
CREATE OR REPLACE FUNCTION name_pattern(names text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    WITH given AS (
        SELECT name, string_to_array(name, ' ') AS words FROM unnest(names) AS name
    ), arranged AS (
        SELECT name, o.words, o.words = given.words AS own,
               o.words = ARRAY[given.words[cardinality(given.words)]] || trim_array(given.words, 1) AS turned
          FROM given, name_orders(name) AS o
        UNION ALL
        SELECT name, words, true, false FROM given WHERE cardinality(words) > 4
    ), way AS (
        SELECT length(name) AS size, replace(any_case(name), ' ', '(?!' || name_marks() || ')[^[:alnum:]]+') AS pattern FROM given
        UNION ALL
        SELECT length(name), (
            SELECT string_agg(any_case(word) || CASE WHEN nth < cardinality(words) THEN name_gap(word) ELSE '' END, '' ORDER BY nth)
              FROM unnest(words) WITH ORDINALITY AS part (word, nth))
          FROM arranged WHERE NOT own
        UNION ALL
        SELECT length(name), unnest(ARRAY[joined || '(?=@)', '(?<=@)' || joined])
          FROM arranged CROSS JOIN LATERAL any_case(array_to_string(words, '')) AS joined WHERE own OR turned
        UNION ALL
        SELECT length(name), (
            SELECT string_agg(CASE WHEN nth > 1 THEN upper(left(word, 1)) WHEN length(word) > 1 THEN any_case(left(word, 1)) ELSE word END
                              || CASE WHEN nth = cardinality(words) THEN '(?:' || substr(word, 2) || '|' || upper(substr(word, 2)) || ')'
                                      ELSE substr(word, 2) END, '' ORDER BY nth)
              FROM unnest(words) WITH ORDINALITY AS part (word, nth))
          FROM arranged
         WHERE NOT EXISTS (
            SELECT FROM unnest(words) WITH ORDINALITY AS part (word, nth)
             WHERE (nth > 1 AND upper(left(word, 1)) !~ '[[:upper:]]')
                OR (nth < cardinality(words) AND (right(word, 1) !~ '[[:lower:]]' OR (nth > 1 AND length(word) = 1))))
    )
    -- A mark of no letter goes with the name. Looking back by one character only: by more, each name in a text would cost a walk from the
    -- beginning of the text.
    SELECT '(?<![[:alnum:]])(?<!' || name_marks() || ')' || name_marks() || '*(?:'
        || string_agg(pattern, '|' ORDER BY size DESC, pattern) || ')(?![[:alnum:]])(?!' || name_marks() || ')' FROM way
$$;
-- The two longest words of each name, in either order, for a text in small letters: what costs little to look for. No word has a `_` or `%`.
CREATE OR REPLACE FUNCTION name_likes(names text[]) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    WITH longest AS (
        SELECT (SELECT array_agg(lower(word) ORDER BY length(word) DESC, word) FROM string_to_table(name, ' ') AS word) AS word
          FROM unnest(names) AS name
    )
    SELECT array_agg(DISTINCT way) FROM longest
     CROSS JOIN LATERAL unnest(ARRAY[
        '%' || word[1] || coalesce('%' || word[2], '') || '%', '%' || coalesce(word[2] || '%', '') || word[1] || '%']) AS way
$$;
-- The same words with any escape in place of any letter: few texts have that, and only those have to be read.
CREATE FUNCTION name_hidden(names text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    WITH longest AS (
        SELECT (SELECT array_agg(veiled ORDER BY length(word) DESC, word) FROM string_to_table(name, ' ') AS word
                 CROSS JOIN LATERAL (
                    SELECT string_agg('(?:(?:[%&\\][#;%&\\0-9A-Za-z]*)*' || any_case(letter) || '|[%&\\][#;%&\\0-9A-Za-z]*)', '' ORDER BY nth)
                      FROM unnest(string_to_array(word, NULL)) WITH ORDINALITY AS part (letter, nth)) AS escaped (veiled)) AS word
          FROM unnest(names) AS name
    )
    SELECT string_agg(DISTINCT way, '|') FROM longest
     CROSS JOIN LATERAL unnest(ARRAY[word[1] || coalesce('.*' || word[2], ''), coalesce(word[2] || '.*', '') || word[1]]) AS way
$$;

-- The same, for a text with letters that ASCII has not, or with signs that begin an escape.
CREATE FUNCTION named_beyond(body text, likes text[], hidden text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    seen text := bare(body);
BEGIN
    RETURN lower(seen) LIKE ANY (likes) OR (seen ~ '[%&\\]' AND seen ~ hidden AND lower(bare(as_read(body))) LIKE ANY (likes));
END $$;
-- Whether a text may have a name. likes, hidden: what name_likes and name_hidden return.
CREATE FUNCTION named(body text, likes text[], hidden text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT lower(body) LIKE ANY (likes) OR (body ~ '[^\x01-\x24\x27-\x5b\x5d-\x7f]' AND named_beyond(body, likes, hidden))
$$;
-- The name is taken out of a text where it stands in escapes; all else stays as it is written.
CREATE FUNCTION forgotten_as_read(body text, pattern text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    plain text[] := regexp_split_to_array(body, escapes());
    escape text[] := ARRAY(SELECT part[1] FROM regexp_matches(body, escapes(), 'g') AS part);
    seen text := as_read(body);
    starts int[];  -- where in the body each character that is seen begins; one more is the body's end
    gap text[] := regexp_split_to_array(seen, pattern);
    hit text[] := ARRAY(SELECT part[1] FROM regexp_matches(seen, pattern, 'g') AS part);
    rest text := '';
    at int := 1;
    copied int := 1;
BEGIN
    SELECT array_agg(begins ORDER BY nth, begins) INTO starts
      FROM (SELECT nth, size, sum(size + beside) OVER (ORDER BY nth) + 1 - size - beside AS first
              FROM (SELECT nth, length(piece.plain) AS size, coalesce(length(piece.escape), 0) AS beside
                      FROM unnest(plain, escape) WITH ORDINALITY AS piece (plain, escape, nth)) AS sized) AS placed
     CROSS JOIN LATERAL generate_series(first, first + size) AS begins;
    FOR nth IN 1 .. cardinality(hit) LOOP
        at := at + length(gap[nth]);
        rest := rest || substr(body, copied, starts[at] - copied) || '[forgotten]';
        at := at + length(hit[nth]);
        copied := starts[at];
    END LOOP;
    RETURN rest || substr(body, copied);
END $$;
-- As it is written, as it is seen, as it reads. Where a name is hidden, the text becomes bare. The cost has a plan ask `named` before.
CREATE OR REPLACE FUNCTION forgotten(body text, pattern text) RETURNS text LANGUAGE plpgsql IMMUTABLE COST 500 AS $$
DECLARE
    rest text := regexp_replace(body, pattern, '[forgotten]', 'g');
    seen text;
BEGIN
    IF rest ~ '[^\x01-\x7f]' AND bare(rest) ~ pattern THEN rest := regexp_replace(bare(rest), pattern, '[forgotten]', 'g'); END IF;
    IF rest ~ '[%&\\]' THEN
        seen := as_read(rest);
        IF seen ~ pattern THEN
            rest := forgotten_as_read(rest, pattern);
            seen := as_read(rest);
        END IF;
        IF bare(seen) ~ pattern THEN rest := regexp_replace(bare(seen), pattern, '[forgotten]', 'g'); END IF;
    END IF;
    RETURN rest;
END $$;
ALTER FUNCTION forgotten(jsonb, text, integer) COST 500;

CREATE OR REPLACE FUNCTION forget_in_ledger(erasure_id bigint, names text[])
RETURNS TABLE (relation text, lineage text, held boolean, touched bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = perdure, pg_temp AS $$
DECLARE
    mine text := current_setting('app.tenant');
    likes text[];
    pattern text;
    hidden text;
    place record;
    hits text;
    changes text;
BEGIN
    IF NOT EXISTS (SELECT FROM erasure e WHERE e.tenant = mine AND e.id = erasure_id AND e.xmin = pg_current_xact_id()::xid) THEN
        RAISE EXCEPTION 'there is no erasure % in this transaction', erasure_id;
    END IF;
    IF names IS NULL OR cardinality(names) NOT BETWEEN 1 AND 20 OR EXISTS (
        SELECT FROM unnest(names) AS name WHERE name IS NULL OR length(name) NOT BETWEEN 2 AND 400 OR name ~ '[].^$*+?(){}\\|%[]'
    ) THEN
        RAISE EXCEPTION 'these are no names to forget';
    END IF;
    likes := name_likes(names);
    pattern := name_pattern(names);
    hidden := name_hidden(names);
    FOR place IN SELECT * FROM erasable() LOOP
        -- Columns that are not there (yet) have nothing to hide.
        SELECT string_agg(format('(named(t.%1$I::text, $2, $4) AND %2$s IS DISTINCT FROM t.%1$I)', attname, without), ' OR '),
               string_agg(format('%I = %s', attname, without), ', ')
          INTO hits, changes
          FROM pg_attribute
         CROSS JOIN LATERAL format('forgotten(t.%I, $3%s)', attname, CASE WHEN attname = ANY (place.jsons) THEN ', 0' END) AS without
         WHERE attrelid = to_regclass(place.relation) AND attname = ANY (place.texts || place.jsons) AND NOT attisdropped;
        CONTINUE WHEN hits IS NULL;
        IF place.run IS NULL THEN
            RETURN QUERY EXECUTE format(
                'WITH changed AS (UPDATE %1$I t SET %2$s WHERE t.tenant = $1 AND (%3$s) RETURNING 1)
                 SELECT %1$L, NULL::text, false, count(*) FROM changed HAVING count(*) > 0',
                place.relation, changes, hits) USING mine, likes, pattern, hidden;
            CONTINUE;
        END IF;
        RETURN QUERY EXECUTE format(
            'WITH running AS MATERIALIZED (SELECT r.lineage FROM run r WHERE r.tenant = $1 AND r.status = ''running''),
             found AS MATERIALIZED (
                 SELECT t.%4$I AS run, count(*) AS rows FROM %1$I t
                  WHERE t.tenant = $1 AND (%3$s) AND t.%4$I IN (SELECT running.lineage FROM running) GROUP BY t.%4$I),
             changed AS (
                 UPDATE %1$I t SET %2$s
                  WHERE t.tenant = $1 AND (%3$s) AND (t.%4$I IS NULL OR t.%4$I NOT IN (SELECT running.lineage FROM running))
                 RETURNING t.%4$I AS run)
             SELECT %1$L, run, true, rows FROM found
             UNION ALL SELECT %1$L, run, false, count(*) FROM changed GROUP BY run',
            place.relation, changes, hits, place.run) USING mine, likes, pattern, hidden;
    END LOOP;
END $$;
