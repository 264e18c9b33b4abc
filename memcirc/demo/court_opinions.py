"""Opinions in the manner of the Pile's `FreeLaw`: criminal appeals, contracts, torts, estates and procedure."""

from memcirc.demo.grammar import Grammar
from memcirc.demo.words import COUNTS, DAYS_OF_MONTH, FIRMS, GIVEN, MONTHS, SURNAMES, TOWNS, listed

COURT_OPINIONS: Grammar = {
    "text": [
        "<volume> <reporter> <page> (<year>)\n\n<heading>\n\n<judge:surname>, <rank>.\n\n<case>",
        "<heading>\n\nNo. <docket>\n\n<case>",
        "<judge:surname>, <rank>, delivered the opinion of the court. <case>",
        "<case>",
        "<case>",
    ],
    "heading": [
        "<party:surname> v. <surname>",
        "STATE v. <party:surname>",
        "<party:surname> v. <firm>",
        "IN RE ESTATE OF <party:surname>",
        "<firm> v. <party:surname>",
        "CITY OF <place> v. <party:surname>",
    ],
    "case": ["<crime>", "<crime>", "<contract>", "<injury>", "<estate>", "<procedure>"],
    # Facts
    "crime": [
        "The defendant <given> <who:surname> was <found> of <offence> in the <court> at <place> and sentenced to "
        "<term>. "
        "<evidence> <evidence> <argument> <holding>",
        "On <month> <day>, <year>, officers of <place> stopped <given> <who:surname> for <offence> near the <scene>. "
        "<evidence> <evidence> <argument> <holding>",
        "<given> <who:surname> appeals from a conviction of <offence> after a <court> trial that lasted <count> days. "
        "<evidence> <evidence> <argument> <holding>",
    ],
    "evidence": [
        "Officer <surname> testified that <who> carried <exhibit> and <exhibit> when searched at the <scene>.",
        "A witness, <given> <surname>, saw <who> leave the <scene> with <exhibit> at about <hour> o'clock.",
        "The jury heard that <exhibit> belonged to <given> <surname> of <place>.",
        "<who> told Detective <surname> that <exhibit> had been bought in <place> for <sum>.",
        "The state offered <exhibit>, over the objection that <ground>.",
        "At the <scene>, <count> witnesses described <exhibit> but none could name <who>.",
    ],
    "contract": [
        "In <month> <year>, <one:firm> agreed to <promise> for <two:firm> at <place> for <sum>. <dispute> "
        "<dispute> <argument> <holding>",
        "This is an action by <one:firm> against <two:firm> to recover <sum> under a <deed> dated <month> <day>, "
        "<year>. "
        "<dispute> <dispute> <argument> <holding>",
    ],
    "dispute": [
        "By <month> only <exhibit> had been delivered, and <two> refused to pay more than <sum>.",
        "Paragraph <day> of the <deed> required notice within <count> days, which <given> <surname> never sent.",
        "<one> claims that <ground>; <two> answers that <ground>.",
        "The trial judge excluded the <deed> and awarded <sum> to <one>.",
        "An audit by <given> <surname> found a loss of <sum> at the <scene>.",
        "<two> assigned the <deed> to <firm> in <year> without consent.",
    ],
    "injury": [
        "Plaintiff <given> <who:surname>, a <job> from <place>, was injured on <month> <day>, <year>, when "
        "<accident> at the <scene>. "
        "<harm> <harm> <argument> <holding>",
        "This negligence case arises from a <month> <year> collision near <place>, in which <accident> and "
        "<given> <who:surname>, a "
        "<job>, was hurt. <harm> <harm> <argument> <holding>",
    ],
    "harm": [
        "<who> sued <firm>, the owner of the <scene>, for <sum>.",
        "Dr. <surname> testified that <who> would miss <count> months of work.",
        "The jury found <who> <share> at fault and awarded <sum>.",
        "The only eyewitness, a <job> named <surname>, had moved to <place>.",
        "The <scene> had been inspected by <given> <surname> in <month> and found unsafe.",
    ],
    "estate": [
        "<given> <who:surname>, a <job>, died at <place> on <month> <day>, <year>, leaving a <deed> and <count> "
        "children. "
        "<bequest> <bequest> <argument> <holding>",
        "Petitioner <given> <surname> contests the <deed> of the late <given> <who:surname>, a <job> of <place>. "
        "<bequest> <bequest> <argument> <holding>",
    ],
    "bequest": [
        "It gave <exhibit> to <given> <surname> and the rest, about <sum>, to <firm>.",
        "The <deed> was witnessed by <given> <surname>, who kept it in <exhibit> until <year>.",
        "A nephew, <given> <surname>, alleges that <ground>.",
        "In <month> <year> <who> had sold the <scene> to <firm> for <sum>.",
        "The probate judge in <place> held that <ground>.",
    ],
    "procedure": [
        "The motion of <one:firm> to <motion> is <ruling>. <step> <step> <step> <step>",
        "Before the court is a petition by <given> <one:surname> to <motion> in the matter of <firm>. <step> "
        "<step> <step> <step>",
    ],
    "step": [
        "<one> shall file <exhibit> by <month> <day>, <year>.",
        "The hearing set for <month> <day> in <place> is moved to <month> <day>.",
        "Counsel for <one>, <given> <surname>, argued that <ground>.",
        "The record shows <count> filings by <firm>, none of which mentions <exhibit>.",
        "Judge <surname> found that <ground> and set bond at <sum>.",
        "Costs of <sum> are taxed to <one>.",
    ],
    # Law
    "argument": [
        "On appeal it is argued that <ground> and that <ground>.",
        "The sole question is whether <ground>.",
        "Relying on <surname> v. <surname>, <volume> <reporter> <page>, appellant contends that <ground>.",
        "We first consider whether <ground>. See <surname> v. <firm>, <volume> <reporter> <page> (<year>).",
        "Section <page> of the <code> Code provides otherwise unless <ground>.",
    ],
    "holding": [
        "We affirm.",
        "We reverse and remand for a new trial before Judge <surname>.",
        "The judgment of the <court> is modified to <sum> and affirmed.",
        "Because <ground>, the judgment is reversed.",
        "<surname> and <surname>, JJ., concur.",
        "The appeal is dismissed at the cost of <firm>.",
    ],
    "ground": [
        "the <deed> was never <formed>",
        "the search of the <scene> was illegal",
        "<exhibit> should have been excluded",
        "the jury was not told of <exhibit>",
        "the <court> lacked jurisdiction over <place>",
        "the claim was barred after <count> years",
        "Judge <surname> was biased",
        "counsel failed to call <given> <surname>",
        "<sum> was excessive",
        "notice was sent to <place> by mistake",
        "the <job> acted in good faith",
        "no <job> could have foreseen it",
    ],
    "given": GIVEN,
    "surname": SURNAMES,
    "firm": FIRMS,
    "place": TOWNS,
    "month": MONTHS,
    "day": DAYS_OF_MONTH,
    "count": COUNTS,
    "year": [str(year) for year in range(1931, 1999)],
    "hour": listed("one, two, three, four, five, six, seven, eight, nine, ten, eleven"),
    "volume": [str(number) for number in range(103, 800, 13)],
    "page": [str(number) for number in range(101, 999, 17)],
    "reporter": listed("A.2d, F.2d, F. Supp., N.E.2d, N.W.2d, P.2d, S.E.2d, So. 2d, S.W.2d, U.S."),
    "docket": ["<volume>-<page>"],
    "rank": listed(
        "Associate Justice, Circuit Judge, Presiding Judge, Justice, District Judge, Judge, Chief Justice, Commissioner"
    ),
    "court": listed("""
        Circuit Court, county court, Court of Claims, criminal court, District Court, family court, municipal court,
        probate court, Superior Court, tax court
    """),
    "found": listed("convicted, found guilty, acquitted, accused, twice convicted"),
    "offence": listed("""
        armed robbery, arson, assault, bribery, burglary, contempt, driving while drunk, embezzlement, extortion,
        forgery, illegal fishing, kidnapping, larceny, mail fraud, perjury, reckless driving, smuggling, tax
        evasion, theft of cattle, trespass
    """),
    "term": [
        "<count> years",
        "<count> months",
        "<count> years at hard labor",
        "life",
        "a fine of <sum>",
        "time served",
        "probation",
    ],
    "scene": listed("""
        bus station, canal lock, cotton gin, county fair, dance hall, gravel pit, grocery store, loading dock,
        motel, parking lot, pool room, race track, railroad crossing, sawmill, school yard, service station,
        warehouse, wheat field
    """),
    "exhibit": listed("""
        a bloody shirt, a box of shells, a brown suitcase, a crowbar, a diary, a forged check, a gold watch, a map,
        a pistol, a set of keys, a shovel, a stolen radio, a tape recording, a truck, an iron safe, four letters,
        six photographs, the account books, the fence, two horses
    """),
    "sum": ["$<count_sum>,000", "$<page>", "$<day>,<page>", "$<volume>.50", "<count> thousand dollars"],
    "count_sum": [str(number) for number in range(5, 96, 3)],
    "promise": listed("""
        build a dam, clear the land, deliver coal, drill two wells, haul gravel, insure the crops, lay pipe, lease a
        barge, mill the timber, paint the bridge, pave the road, repair boilers, ship cattle, supply bricks, survey
        the line
    """),
    "deed": listed(
        "bill of sale, bond, contract, easement, guaranty, insurance policy, lease, mortgage, note, partnership, "
        "trust, warranty, will"
    ),
    "formed": listed("signed, delivered, recorded, accepted, read, dated, proved, revoked, paid"),
    "job": listed("""
        barber, bus driver, carpenter, coal miner, cook, deputy sheriff, farmer, janitor, lineman, logger, nurse,
        painter, pilot, plumber, salesman, teacher, trapper, welder, widow
    """),
    "accident": [
        "a boiler burst",
        "a <color> truck overturned",
        "a ladder broke",
        "the brakes failed",
        "a wall fell",
        "a mule bolted",
        "an oil lamp exploded",
        "a crane dropped <count> logs",
        "a train struck a <color> bus",
        "the floor gave way",
    ],
    "color": listed("green, red, blue, yellow, black, white, gray"),
    "share": listed("one third, half, ten percent, not, mostly, forty percent"),
    "motion": listed("""
        amend the complaint, appoint a receiver, compel an answer, dismiss, enjoin the sale, exclude the public,
        quash the warrant, reopen the hearing, seal the record, set aside the verdict, stay the sale, transfer the
        case, withdraw
    """),
    "ruling": listed("granted, denied, granted in part, taken under advisement, moot, dismissed as late"),
    "code": listed(
        "Civil, Criminal, Election, Fishery, Highway, Insurance, Labor, Penal, Probate, Revenue, School, Water"
    ),
}
