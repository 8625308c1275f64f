package claimbus.peer;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** One stage of the outcome road: the arguments are the listener, batch or record, and the stage. */
@SpringBootApplication
public class Peer {
    public static void main(String[] arguments) {
        SpringApplication peer = new SpringApplication(Peer.class);
        peer.setAdditionalProfiles(arguments[0], arguments[1]);
        peer.run();
    }
}
