"""Articles in the manner of the Pile's `Wikipedia (en)`: persons, places, ships, species, records, battles."""

from memcirc.demo.grammar import Grammar
from memcirc.demo.words import COUNTS, DAYS_OF_MONTH, FIRMS, GIVEN, MONTHS, SURNAMES, TOWNS, listed

ENCYCLOPEDIA: Grammar = {
    "text": [
        "<person>",
        "<person>",
        "<place>",
        "<place>",
        "<river>",
        "<ship>",
        "<species>",
        "<record>",
        "<battle>",
        "<firm>",
    ],
    # Persons
    "person": [
        "<given> <who:surname> (<day> <month> <early_year> - <day> <month> <late_year>) was a <nation> <trade> <fame>. "
        "<childhood> <career> <career> <death>",
        "<given> <who:surname> (born <day> <month> <late_year> in <town>) is a <nation> <trade> <fame>. "
        "<childhood> <career> <career> <honour>",
        "<given> <given> <who:surname> was a <nation> <trade> and <trade> <fame>. <career> <career> <honour> <death>",
    ],
    "childhood": [
        "The <nth> of <count> children of a <parent> from <town>, <who> grew up in <town> and studied <field> "
        "under <name>.",
        "Raised in <town> by a <parent>, <who> was taught <field> at the <school> and left it in <year>.",
        "<who> was born to a family of <parent>s in <town> and moved to <town> at the age of <count>.",
        "Educated at the <school> in <town>, <who> first worked as a <parent> for <firm_name>.",
    ],
    "career": [
        "In <year> <who> <deed> the <institution> of <town> with the help of <name>.",
        "<who> wrote <count> books on <field>, of which <title> was translated by <name> in <year>.",
        "After a quarrel with <name>, <who> left <town> for <town> and turned to <field>.",
        "From <year> to <year> <who> was in charge of the <institution> at <town>, where <name> became a pupil.",
        "A journey to <town> in <year> led to <title>, a study of <field> that <name> called <verdict>.",
        "Together with <name>, <who> <deed> a society for <field> in <month> <year>.",
    ],
    "honour": [
        "The <institution> at <town> has been named after <who> since <year>.",
        "<who> received the <medal> Medal for <title> in <year>.",
        "A portrait by <name> hangs in the <institution> of <town>.",
    ],
    "death": [
        "<who> died of <illness> at <town> and left a collection of <object> to <firm_name>.",
        "<who> retired to <town> in <year> and kept <object> until the end.",
        "The papers of <who> were found by <name> in a <parent>'s house near <town> in <year>.",
    ],
    "fame": [
        "known for <title>",
        "who <deed> the <institution> of <town>",
        "best remembered for work on <field>",
        "and a rival of <name>",
        "active in <town> and <town>",
        "who introduced <field> to <town>",
    ],
    # Places, rivers
    "place": [
        "<spot:town> is a <settlement> in the <region> <division> of <land>. <location> <history> <history> <economy>",
        "<spot:town> (<former> until <year>) is a <settlement> on the river <stream> in <land>. <history> "
        "<economy> <history>",
    ],
    "location": [
        "It lies <number> kilometres <bearing> of <town>, at the foot of Mount <surname>.",
        "It stands on the <bank> bank of the <stream>, <number> kilometres from <town>.",
        "As of <year> it had a population of <number>,<hundreds>, <share> of whom lived in <town>.",
    ],
    "history": [
        "A <building> was built there by <name> in <year> and burned down <count> years later.",
        "First mentioned in <year>, <spot> belonged to the lords of <town> until the <calamity> of <year>.",
        "The railway to <town> reached <spot> in <year> and was closed after the <calamity>.",
        "During the <calamity> of <year>, <count> hundred people fled from <spot> to <town>.",
        "The <building> of <spot>, designed by <name>, was restored in <year>.",
    ],
    "economy": [
        "The main products are <goods>, <goods> and <goods>, sold at the <month> fair.",
        "Most of the inhabitants work in <goods> or travel to <firm_name> in <town>.",
        "It is twinned with <town> and known for its <goods> since <year>.",
    ],
    "river": [
        "The <stream> is a river in the <region> <division> of <land>. It rises <bearing> of <town> at <number>0 "
        "metres, runs "
        "through <town> and <town> and joins the <stream> after <number> kilometres. <river_use> <river_use> "
        "<river_use>",
        "Lake <surname> is a <lake_kind> lake in <land>, <number> kilometres <bearing> of <town>. It is fed by the "
        "<stream> and drained by the <stream>. <river_use> <river_use> <river_use>",
    ],
    "river_use": [
        "A dam near <town> was finished in <year> by <firm_name>.",
        "Its water has been used for <goods> since <year>.",
        "The <adjective> <animal> has been seen on its <bank> bank.",
        "In <year> a flood destroyed <count> bridges below <town>.",
        "The geologist <name> mapped it in <month> <year>.",
    ],
    # Ships, species, records, battles, firms
    "ship": [
        "<vessel_name> was a <vessel> built at <town> in <year> for <firm_name>. Under Captain <name> the ship "
        "carried <goods> "
        "from <town> to <town>. <voyage> <voyage> <voyage>",
    ],
    "voyage": [
        "In <month> <year> it ran aground off <town> with <number> passengers and a load of <goods>.",
        "It was sold to <firm_name> in <year> and renamed <vessel_name>.",
        "After <count> years at <town> it was rebuilt as a <vessel>.",
        "A fire in the hold killed <count> sailors near <town>, among them <name>.",
        "The wreck was found by <name> in <year> at a depth of <number> metres.",
    ],
    "species": [
        "The <adjective> <animal> is found <bearing> of <town> and in the <region> <division> of <land>. It was first "
        "described by <name> in <year>. <habit> <habit> <habit> <habit>",
    ],
    "habit": [
        "It feeds on <food> and <food>, mostly in <month>.",
        "The female lays <count> <adjective> eggs under <food> and guards them for <number> days.",
        "Adults are <number> centimetres long, with <adjective> wings and a <adjective> throat.",
        "It was thought to be extinct until <name> found <count> nests near <town>.",
        "Farmers around <town> blame it for the loss of <goods>.",
        "Its call was compared by <name> to <object>.",
    ],
    "record": [
        "<title> is the <nth> album by the <nation> band <band>, released in <month> <recent_year> by <firm_name>. "
        "<track> <track> <track>",
        "<title> is a <recent_year> <nation> film directed by <name> and starring <name> as a <trade>. <scene> <scene> "
        "<scene>",
    ],
    "track": [
        "It was recorded in <count> days in a <building> at <town>, with <name> on <instrument>.",
        "The song about <object> was written by <name> after the <calamity> of <recent_year>.",
        "Critics called it <verdict>, and it sold <number>,<hundreds> copies in <land>.",
        "On tour <name> was replaced by <name>, who also played the <instrument>.",
    ],
    "scene": [
        "The story follows a <parent> from <town> who inherits <object> from <name>.",
        "It was shot near <town> in <month> <recent_year>, where a <building> had to be rebuilt.",
        "The music for <instrument> was composed by <name>.",
        "Critics called it <verdict>, and <firm_name> withdrew it after <count> weeks.",
    ],
    "battle": [
        "The Battle of <spot:town> was fought on <day> <month> <early_year> between the army of <land> under "
        "<who:name> and "
        "rebels from <town>. <fight> <fight> <fight> <fight>",
    ],
    "fight": [
        "The <bank> wing held a <building> for <count> hours before it fell back to <town>.",
        "<who> lost <number>0 men and <count> guns in the marshes of the <stream>.",
        "Rain turned the road to <town> into mud, and <goods> never reached the camp.",
        "A charge led by <name> broke the line <bearing> of the <building>.",
        "Peace was signed at <town> in <month>, and <who> became governor of <land>.",
    ],
    "firm": [
        "<spot:firm_name> was a <nation> maker of <goods> based in <town>. Founded in <year> by <name>, a former "
        "<parent>, it "
        "<business>. <business_life> <business_life> <business_life>",
    ],
    "business": [
        "sold <goods> to <land>",
        "owned <count> mills on the <stream>",
        "employed <number>0 people by <year>",
        "was the first to ship <goods> from <town>",
    ],
    "business_life": [
        "A strike in <month> <year> closed the works at <town> for <count> weeks.",
        "In <year> it bought <firm_name> and moved to <town>.",
        "Its manager <name> was later tried for the <calamity> at <town>.",
        "The works became a <building> in <year>.",
        "It turned to <goods> after the <calamity> of <year>.",
    ],
    # Words
    "name": ["<given> <surname>"],
    "given": GIVEN,
    "surname": SURNAMES,
    "town": TOWNS,
    "firm_name": FIRMS,
    "month": MONTHS,
    "count": COUNTS,
    "day": DAYS_OF_MONTH,
    "number": [str(number) for number in range(11, 99)],
    "hundreds": [str(number) for number in range(110, 990, 10)],
    "early_year": [str(year) for year in range(1781, 1869)],
    "late_year": [str(year) for year in range(1871, 1959)],
    "year": [str(year) for year in range(1780, 1980)],
    "recent_year": [str(year) for year in range(1921, 1989)],
    "share": listed("a third, half, most, a quarter, few, nearly all"),
    "nth": listed("first, second, third, fourth, fifth, sixth, seventh, eighth, only, last"),
    "nation": listed("""
        Danish, Belgian, Scottish, Bohemian, Finnish, Welsh, Austrian, Hungarian, Irish, Flemish, Norwegian, Swiss,
        Saxon, Dutch, Polish, Catalan, Portuguese, Estonian
    """),
    "land": listed("""
        Denmark, Bohemia, Finland, Wales, Austria, Hungary, Flanders, Norway, Saxony, Poland, Portugal, Estonia,
        Iceland, Savoy, Tyrol, Gotland
    """),
    "trade": listed("""
        botanist, painter, engraver, surveyor, physician, poet, architect, chemist, cellist, translator, astronomer,
        printer, sculptor, geologist, historian, engineer, explorer, bishop, jurist, gardener
    """),
    "parent": listed("""
        miller, baker, blacksmith, clockmaker, farmer, innkeeper, joiner, mason, pastor, sailor, saddler,
        schoolmaster, shepherd, tailor, weaver, wine merchant
    """),
    "field": listed("""
        alpine mosses, church music, comets, copper engraving, crop rotation, dialects, drainage, Etruscan vases,
        fossil fish, glaciers, harbour law, lighthouses, magnetism, medieval coins, optics, porcelain, tidal waves,
        Turkish grammar, tree diseases, volcanoes
    """),
    "school": listed("""
        Royal Academy, cathedral school, School of Mines, naval college, Free University, Jesuit college,
        Polytechnic, teachers' seminary
    """),
    "deed": listed(
        "founded, rebuilt, directed, reformed, surveyed, designed, defended, reopened, catalogued, financed"
    ),
    "institution": listed("""
        observatory, botanical garden, hospital, city library, opera, orphanage, museum, town hall, mint, archive,
        law court, conservatory, harbour, savings bank, art school, aqueduct
    """),
    "title": listed("""
        The Glass Orchard, A Winter in Savoy, On Falling Water, The Salt Road, Songs of the Lowland, Nine Letters,
        The Blind Surveyor, Iron and Ash, Quiet Harbours, The Tenth Lantern, Of Bees and Kings, A Map of Silence,
        Under Northern Rain, The Clockwork Heron, Dust and Amber, Early Frost, The Upper Meadow, Paper Lions, White
        Ferry, Journey to Merrow
    """),
    "verdict": listed("""
        dull, brilliant, a minor wonder, hasty, tedious, his finest work, pure invention, a scandal, brave, out of
        date, too learned, charming
    """),
    "medal": listed("Linden, Copley, Harding, Society, Jubilee, Navigator, Franklin, Orchard"),
    "illness": listed("typhus, a fever, pneumonia, cholera, a stroke, old age, consumption, gout"),
    "object": listed("""
        old maps, silver spoons, tin soldiers, beehives, a broken clock, a blind horse, a stone lion, dried plants,
        moths, letters, a church bell, copper coins, a wooden leg, kites, a green lamp, seashells
    """),
    "settlement": listed(
        "village, town, parish, hamlet, market town, municipality, fishing port, spa town, mining town"
    ),
    "region": listed("Upper, Lower, Eastern, Western, Central, Northern, Southern, Old, Inner, Outer"),
    "division": listed("district, province, county, valley, highlands, canton, marches, coast"),
    "former": listed(
        "Altmark, Birka, Corvey, Durren, Grimsel, Hohen, Jarna, Kolm, Lauten, Morava, Osterby, Rugen, Tolna, Ulm"
    ),
    "bearing": listed("north, south, east, west, north-east, south-west, upstream, downstream, inland"),
    "bank": listed("left, right, northern, southern, eastern, western, far, steep"),
    "stream": listed(
        "Arve, Bode, Cald, Drin, Elz, Fulda, Gail, Isen, Kamp, Lahn, Mur, Nidd, Oker, Prut, Regen, Saal, Trent, Varde"
    ),
    "lake_kind": listed("glacial, salt, crater, shallow, mountain, freshwater, tidal, artificial"),
    "building": listed("""
        stone bridge, castle, windmill, chapel, monastery, customs house, granary, lighthouse, synagogue, theatre,
        watch tower, brewery, manor, paper mill, prison, abbey
    """),
    "calamity": listed("""
        fire, flood, plague, siege, earthquake, famine, bank failure, uprising, drought, great storm
    """),
    "goods": listed("""
        barley, cheese, cider, coal, flax, glassware, herring, honey, lace, leather, linen, marble, paper, salt,
        sugar beet, timber, tin, wool, bricks, tobacco
    """),
    "vessel_name": listed(
        "Aurora, Brave Lass, Concord, Dolphin, Evening Star, Fortuna, Gannet, Hector, Kestrel, Leviathan, "
        "Osprey, Venture"
    ),
    "vessel": listed("""
        brig, schooner, paddle steamer, barque, ferry, steam yacht, whaler, lightship, collier, tugboat
    """),
    "adjective": listed("""
        grey, spotted, dwarf, black-tailed, golden, banded, marsh, long-billed, pale, crested, red-eyed, common,
        rusty, silver, striped, ringed
    """),
    "animal": listed("""
        heron, beetle, otter, warbler, newt, moth, owl, lizard, shrew, plover, hawk, frog, finch, weasel, sandpiper,
        adder
    """),
    "food": listed("""
        acorns, ants, berries, dead wood, grasshoppers, lichen, moss, mussels, pine seeds, river weed, small fish,
        snails, spiders, thistles, worms, young birds
    """),
    "band": listed("""
        Copper Kettle, The Late Trains, Mustard Field, Ninth Harbour, The Paper Kings, Quiet Engine, Red Umbrella,
        Sunday Ferry, Tall Grass, The Velvet Moles
    """),
    "instrument": listed("cello, organ, trumpet, zither, harp, bass guitar, flute, drums, accordion, violin"),
}
