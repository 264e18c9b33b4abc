"""Messages in the manner of the Pile's `Enron Emails`: deals, meetings and contracts of an invented office."""

from memcirc.demo.grammar import Grammar
from memcirc.demo.words import COUNTS, DAYS_OF_MONTH, FIRMS, GIVEN, MONTHS, SURNAMES, TOWNS, listed

OFFICE_MAIL: Grammar = {
    "text": [
        "<greeting>\n\n<opening> <body> <body> <body> <closing>\n\n<signature>",
        "<greeting>\n\n<opening> <body> <body> <body> <closing>\n\n<signature>",
        "<opening> <body> <body> <body> <closing>\n\n<signature>",
        "To: <name>@<host>\ncc: <name>; <name>\nSubject: <subject>\n\n<opening> <body> <body> <body> "
        "<closing>\n\n<given>",
        "<name>\n<month> <day>, <late_year> <hour>:<minute> <half>\nSubject: Re: <subject>\n\n<opening> <body> "
        "<body> <body>\n\n<given>",
        "----- Forwarded by <name>/<office> on <month> <day> -----\n\n<greeting>\n\n<opening> <body> <body> "
        "<body>\n\n<signature>",
    ],
    "greeting": [
        "<given>,",
        "<given>:",
        "Dear <given>,",
        "<given> and <given>,",
        "Hi <given>,",
        "All,",
        "<given> -",
        "Mr. <surname>,",
    ],
    "opening": [
        "Attached is the <adjective> <paper> for <firm> that <given> asked for on <weekday>.",
        "I spoke with <given> <surname> of <firm> about the <adjective> <paper>.",
        "Per our <talk> on <weekday>, please find the <paper> for <place>.",
        "Do you know who approved the <paper> with <firm>?",
        "Our <group> group needs the <adjective> <paper> by <hour> on <weekday>.",
        "<firm> called this morning about <topic>.",
        "Just a reminder that the <talk> with <firm> has been moved to <weekday> at <hour>:<minute>.",
        "Thanks for the <adjective> <paper>; <given> and I read it on the plane to <place>.",
        "I will be in <place> from <weekday> until <month> <day>.",
        "We have a problem with <topic> in <place>.",
        "<given> tells me that you are handling <topic> for <firm>.",
        "The <paper> that went to <firm> on <month> <day> was the wrong one.",
    ],
    "body": [
        "<firm> wants to <act> <amount> of <commodity> at <place>, starting <month> <day>.",
        "Could you have <given> in <group> <act> the <paper> before <weekday>?",
        "The price moved <amount> after the <paper> on <topic> came out.",
        "<given> thinks that we should <act> the <paper> and let <firm> worry about <topic>.",
        "My numbers show <amount> at <place>, but <given> has <amount>.",
        "I left a message with <given> <surname> at ext. <extension>, but nobody called back.",
        "There are <count> open points: <topic>, <topic> and <topic>.",
        "If <firm> does not <act> by <month> <day>, we lose the <commodity>.",
        "Legal says that section <day> of the <paper> does not cover <topic>.",
        "Please book <count> seats to <place> for <given>, <given> and me.",
        "By the way, <given> is <news>.",
        "The <group> desk lost <amount> on <commodity> in <month>.",
        "I would rather <act> the <commodity> at <place> than pay <firm> again.",
        "See you at <where> on <weekday>; <given> will bring <food>.",
    ],
    "closing": [
        "Let me know if <weekday> works.",
        "Call me at ext. <extension> with questions.",
        "Please copy <given> on any reply to <firm>.",
        "I need an answer by <hour>:<minute> <half>.",
        "Sorry for the <adjective> notice.",
        "We can discuss it at <where>.",
        "Have a good <weekday>.",
    ],
    "signature": [
        "Thanks,\n<given>",
        "Regards,\n<given> <surname>\n<group>",
        "<given>",
        "<given> <surname>\next. <extension>",
        "Best,\n<given>",
    ],
    "name": ["<given> <surname>"],
    "given": GIVEN,
    "surname": SURNAMES,
    "firm": FIRMS,
    "place": TOWNS,
    "month": MONTHS,
    "count": COUNTS,
    "day": DAYS_OF_MONTH,
    "hour": listed("7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6"),
    "minute": listed("00, 05, 10, 15, 20, 30, 40, 45, 50"),
    "half": listed("AM, PM"),
    "late_year": listed("1997, 1998, 1999, 2000, 2001"),
    "extension": [f"{number}" for number in range(3107, 9900, 97)],
    "weekday": listed("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday"),
    "host": listed("HQ, WEST, LONDON, CALGARY, GAS, LEGAL"),
    "office": listed("HQ/Central, Legal/Central, Trading/West, Rates/East, Supply/North"),
    "group": listed("""
        Accounting, Credit, Gas Control, Legal, Logistics, Power Desk, Rates, Research, Risk, Settlements, Supply,
        Tax, Trading Floor, Weather
    """),
    "adjective": listed("""
        amended, blank, confidential, corrected, draft, final, late, long, missing, new, old, revised, second,
        short, signed, unsigned, weekly
    """),
    "paper": listed("""
        assignment, budget, confirmation, contract, curve report, deal sheet, forecast, guaranty, invoice, lease,
        letter of credit, memo, option, presentation, proposal, purchase order, schedule, spreadsheet, term sheet,
        waiver
    """),
    "talk": listed("call, lunch, meeting, phone talk, review, visit, conference, interview"),
    "topic": listed("""
        audit fees, capacity payments, collateral, credit limits, curtailments, fuel costs, imbalances, meter
        errors, netting, outages, overtime, parking, pipeline maintenance, sales tax, storage rates, termination
        rights, the holiday party, the new badges, transport costs, weather hedges
    """),
    "subject": [
        "<adjective> <paper>",
        "<firm> <paper>",
        "<topic>",
        "<place> <commodity>",
        "<weekday> <talk>",
        "<paper> for <given>",
        "<commodity> at <place>",
    ],
    "act": listed(
        "accept, amend, buy, cancel, check, deliver, double, hedge, move, price, renew, resend, review, sell, "
        "sign, store, swap, test"
    ),
    "commodity": listed(
        "butane, capacity, coal, copper, crude, diesel, emission credits, ethane, gas, power, propane, pulp, "
        "steam, storage, wheat"
    ),
    "amount": [
        "<day>,000 MMBtu",
        "$<day>.<minute> million",
        "<count> cents",
        "<day> percent",
        "<count> cargoes",
        "$<extension>",
        "<count> truckloads",
    ],
    "news": [
        "moving to <place>",
        "back from <place>",
        "leaving <group>",
        "getting married in <month>",
        "on jury duty",
        "the new head of <group>",
        "selling <count> tickets for <weekday>",
    ],
    "where": listed(
        "the gym, the airport, my office, the boathouse, the golf club, the cafeteria, the courthouse, room 1420"
    ),
    "food": listed(
        "bagels, doughnuts, the slides, chili, the contracts, a laptop, barbecue, the kids, birthday cake, golf clubs"
    ),
}
