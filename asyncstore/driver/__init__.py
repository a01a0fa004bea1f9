"""
The public interface for authors of drivers: the contract, bodies, conditions, paging, settings and URIs.
"""

from asyncstore.driver.body import Body as Body
from asyncstore.driver.body import BytesBody as BytesBody
from asyncstore.driver.body import BytesLike as BytesLike
from asyncstore.driver.body import EmptyBody as EmptyBody
from asyncstore.driver.body import ReadBody as ReadBody
from asyncstore.driver.body import Sink as Sink
from asyncstore.driver.conditions import check_parts as check_parts
from asyncstore.driver.conditions import check_read as check_read
from asyncstore.driver.conditions import check_write as check_write
from asyncstore.driver.conditions import resolve_range as resolve_range
from asyncstore.driver.contract import Capabilities as Capabilities
from asyncstore.driver.contract import Condition as Condition
from asyncstore.driver.contract import Driver as Driver
from asyncstore.driver.contract import Narrowing as Narrowing
from asyncstore.driver.contract import NotInBatchError as NotInBatchError
from asyncstore.driver.contract import Pending as Pending
from asyncstore.driver.forwarding import READS as READS
from asyncstore.driver.forwarding import ForwardingDriver as ForwardingDriver
from asyncstore.driver.forwarding_bodies import ForwardingBody as ForwardingBody
from asyncstore.driver.forwarding_bodies import ForwardingReadBody as ForwardingReadBody
from asyncstore.driver.paging import page as page
from asyncstore.driver.paging import successor as successor
from asyncstore.driver.received_body import ReceivedBody as ReceivedBody
from asyncstore.driver.settings import at_most_one as at_most_one
from asyncstore.driver.settings import one_of as one_of
from asyncstore.driver.settings import read_settings as read_settings
from asyncstore.uri import URIGrammar as URIGrammar
