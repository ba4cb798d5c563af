"""Robinhood's HTTP API, locally, for its real client library: logins and tokens, accounts, orders, quotes, history.

    from quaestor.doors.sim.robinhood import Person, RobinhoodServer
    from quaestor.doors.sim.serving import serving

    server = RobinhoodServer(people=[Person()])                          # logins and tokens alone, or:
    server = wiring.robinhood_server(Person(), cash=…, held=…, clock=…)  # with an exchange behind it
    with serving(server.app) as url:
        ...  # the client's adapter sends https://api.robinhood.com/… to url, the host it meant in X-Original-Host

    server.auth.approvals.does = "refuse"                                # prompts: approve | refuse | never; .answer()
    server.auth.bearer(token)                                            # whose it is, or None
    server.auth.revoke()                                                 # access tokens end now
    server.auth.break_chains()                                           # refresh tokens too
    server.auth.mint(person)                                             # tokens as a browser has them
    server.clock = lambda: later                                         # another time
    server.faults[:] = [Fault("lost", path="/oauth2/token/", times=1)]   # spent, and the answer never comes
    server.quote("AAPL", bid, ask, last, size=30)                        # moves the market, fills what it reaches
    server.halt("AAPL"); server.end_halt("AAPL")
    server.floor.round_the_clock = True                                  # it is always within regular hours
    server.orders.duplicates = "existing"; .reject_next = "…"; .confirm_takes; .cancel_takes; .page_size; .changed
    server.hours.said[day] = {"is_open": False}                          # it says otherwise than the calendar
    server.requests                                                      # what was asked: method, host, path, status

Addresses in bodies stay https://api.robinhood.com/…: the adapter directs those here, too.
"""

from quaestor.doors.sim.robinhood.people import Person
from quaestor.doors.sim.robinhood.server import Asked, RobinhoodServer
from quaestor.doors.sim.robinhood.wire import HOST

__all__ = ["HOST", "Asked", "Person", "RobinhoodServer"]
